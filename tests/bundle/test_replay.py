"""Running a bundle again: it agrees with itself, and says so where it does not."""

import shutil
import zipfile
from types import SimpleNamespace

import pytest

import edgekd
from edgekd.bundle.replay import Places, replay
from edgekd.bundle.write import write_bundle
from edgekd.core.errors import RequestError

from ..pipeline.conftest import TINY
from .zips import rebuilt


@pytest.fixture
def again(finished, tmp_path):
    """Return a function that replays a bundle and notes what is told; by default nothing runs."""

    def do(file, **options):
        heard, events = [], []
        given = {
            "places": Places(finished.store),
            "moved": {},
            "trust_plugins": False,
            "listener": events.append,
            "tell": lambda bundle, environment: heard.append(environment),
        }
        found = replay(file, **given | options)
        return SimpleNamespace(found=found, told=heard[0].differences, events=events)

    return do


def rows(done, kind):
    return [row for row in done.found.rows if row.kind == kind]


def test_a_run_is_done_again_from_nothing_and_agrees(finished, again):
    done = again(finished.zip, places=Places())
    assert done.found.exit_code == 0
    assert not done.told
    assert [*done.found.result.ran] == [stage.name for stage in finished.bundle.stages]
    by_status = {row.stage: row.status for row in rows(done, "stage")}
    assert by_status == dict.fromkeys(
        ["teacher", "teacher.outputs", "student", "int8", "onnx", "teacher.onnx"], "equal"
    ) | {"check": "-", "report": "-"}
    metrics = {row.what: row.status for row in rows(done, "metric")}
    assert metrics["accuracy of onnx on cpu"] == "equal"
    assert metrics["latency_p50_ms of onnx on cpu"] in ("overlap", "apart")
    assert [(row.then, row.now) for row in rows(done, "gate")] == [("pass", "pass")]
    assert done.found.sentence.startswith("All as promised: 6 of 6 artifacts")
    assert not done.found.result.folder.exists(), "a replay leaves nothing"
    assert done.events[-1].report is None


def spoil(stage_name, file):
    def change(document, members):
        for stage in document["stages"]:
            if stage["name"] == stage_name:
                stage["files"][file]["sha256"] = "0" * 64

    return change


def test_another_artifact_breaks_the_promise(finished, again, tmp_path):
    file = rebuilt(finished.zip, tmp_path / "b.zip", spoil("onnx", "onnx.onnx"))
    done = again(file)
    (broken,) = [row for row in done.found.rows if row.broken]
    assert (broken.stage, broken.now, broken.status) == ("onnx", "onnx.onnx", "differs")
    assert done.found.exit_code == 1
    assert done.found.sentence == "Not as promised: onnx (program)."


def test_measurements_that_are_none_are_refused_before_anything_runs(finished, again, tmp_path):
    def change(document, members):
        (name,) = [n for n in members if n.endswith("measurements.json")]
        members[name] = b"{}"

    with pytest.raises(RequestError, match=r"measurements\.json' holds no measurements"):
        again(rebuilt(finished.zip, tmp_path / "b.zip", change))


PLUGIN = '''
"""A method of the user's own."""
from pathlib import Path

from edgekd.core.kinds import objective


@objective(name="louder")
def louder(config, *, student_logits, labels):
    Path(__file__).with_name("ran").touch()
    return student_logits.gather(-1, labels[..., None]).squeeze(-1).neg()
'''


def test_code_of_a_bundle_runs_with_the_users_word_alone(again, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    (own / "mine.py").write_text(PLUGIN)
    text = TINY.replace("seed: 0\n", "seed: 0\nplugins: [mine.py]\n")
    text = text.replace("    train: {epochs: 1}", "    objective: [louder]\n    train: {epochs: 1}")
    (own / "own.yaml").write_text(text)
    places = {"store": tmp_path / "store", "runs": tmp_path / "runs"}
    result = edgekd.run(own / "own.yaml", until="teacher", **places)
    write_bundle(tmp_path / "b.zip", result, until="teacher")
    shutil.rmtree(own)
    with pytest.raises(RequestError, match=r"(?s)'mine\.py'.*--trust-plugins"):
        again(tmp_path / "b.zip", places=Places())
    done = again(tmp_path / "b.zip", places=Places(), trust_plugins=True)
    assert [*done.found.result.ran] == ["teacher"]
    assert done.found.exit_code == 0
    assert [row.status for row in rows(done, "stage")] == ["equal"]
    assert not own.exists()


def test_a_module_brings_all_of_the_package_that_its_key_covers(tmp_path, monkeypatch):
    package = tmp_path / "lib" / "mypackage"
    (package / "inner").mkdir(parents=True)
    for name in ("__init__.py", "other.py", "inner/__init__.py"):
        (package / name).write_text("")
    (package / "inner" / "parts.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path / "lib")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lib"))  # the worker's
    text = TINY.replace("seed: 0\n", "seed: 0\nplugins: [mypackage.inner.parts]\n")
    (tmp_path / "own.yaml").write_text(text)
    places = {"store": tmp_path / "store", "runs": tmp_path / "runs"}
    result = edgekd.run(tmp_path / "own.yaml", until="teacher", **places)
    write_bundle(tmp_path / "b.zip", result, until="teacher")
    names = zipfile.ZipFile(tmp_path / "b.zip").namelist()
    assert sorted(name for name in names if name.startswith("plugins/")) == [
        f"plugins/0/mypackage/{name}"
        for name in ("__init__.py", "inner/__init__.py", "inner/parts.py", "other.py")
    ]


def test_data_is_found_where_it_was_or_where_it_lies_now(again, tmp_path, monkeypatch):
    places = {"store": tmp_path / "store", "runs": tmp_path / "runs"}
    home = tmp_path / "héme folder"
    home.mkdir()
    (home / "first.yaml").write_text(TINY)
    first = edgekd.run(home / "first.yaml", until="teacher", **places)
    weights = home / "given.safetensors"
    shutil.copyfile(first.folders["teacher"] / "model.safetensors", weights)
    text = TINY.replace("    train: {epochs: 1}\n", "    weights: given.safetensors\n", 1)
    (home / "second.yaml").write_text(text)
    given = edgekd.run(home / "second.yaml", until="teacher", **places)
    bundle = write_bundle(tmp_path / "b.zip", given, until="teacher")
    assert bundle.paths == {"stages.teacher.weights": str(weights)}
    assert str(weights) in {data.path for data in bundle.data}

    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    store = Places(tmp_path / "store")
    done = again(tmp_path / "b.zip", places=store)
    assert (done.told, done.found.exit_code) == ([], 0)

    moved = tmp_path / "elsewhere" / "other name.safetensors"
    weights.rename(moved)
    with pytest.raises(RequestError, match=r"(?s)weights.*is not here.*--data .*=PATH"):
        again(tmp_path / "b.zip", places=store)
    altered = bytearray(moved.read_bytes())
    altered[-4] ^= 1
    moved.write_bytes(altered)
    nearest_wins = {str(home): str(moved.parent), str(weights): str(moved)}
    done = again(tmp_path / "b.zip", places=store, moved=nearest_wins)
    (other,) = done.told
    assert other.what == "data given.safetensors"
    assert f"--data {weights}=PATH" in other.step
    (row,) = rows(done, "stage")
    assert (row.status, row.broken) == ("differs", False)
    assert row.note == "not promised: other here: data given.safetensors"
    assert done.found.exit_code == 0
