"""Laying out a bundle's pipeline: no code without the user's word, data where it lies now."""

import json
from pathlib import Path

import pytest

from edgekd.bundle.document import Code
from edgekd.bundle.workplace import lay_out
from edgekd.core.errors import RequestError

from .zips import document

PLAIN = """\
name: small
task: {kind: image_classification, data: digits}
stages: {teacher: {kind: teacher}}
"""
OWN = f"plugins: [mine.py]\n{PLAIN}"
HARM = b"raise SystemExit('this ran')\n"
LOCAL = b"description: here\ntransport: {kind: local}\nruntimes: [onnxruntime]\n"
AWAY = LOCAL.replace(b"{kind: local}", b"{kind: ssh, host: evil.example}")


@pytest.fixture
def lay(tmp_path, monkeypatch):
    """Return a function that lays out a bundle of some members."""
    monkeypatch.chdir(tmp_path)

    def do(members, moved=(), *, trust=False, **changes):
        members = {name: m.encode() if isinstance(m, str) else m for name, m in members.items()}
        for name, data in members.items():
            path = tmp_path / "unpacked" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        bundle = document(members, **changes)
        work = tmp_path / "work"
        return lay_out(bundle, tmp_path / "unpacked", work, dict(moved), trust_plugins=trust)

    return do


def asked(**changes):
    return document({}).request.model_copy(update=changes)


def test_a_plain_pipeline_is_asked_for_as_it_was(lay, tmp_path):
    found = lay({"pipeline.yaml": PLAIN}, request=asked(sets=["seed=3"], targets=["cpu"]))
    assert Path(found.file).read_text() == PLAIN
    assert Path(found.file).parent == tmp_path / "work"
    assert (found.sets, found.targets) == (("seed=3",), ("cpu",))
    assert found.processes == 1


def test_as_many_processes_train_as_then(lay):
    found = lay({"pipeline.yaml": PLAIN}, request=asked(processes=2))
    assert (found.processes, found.processes_here) == (2, 2)


CODE = [Code(reference="mine.py", members=["plugins/0/mine.py"])]


def test_code_is_refused_by_name_and_digest_until_it_is_trusted(lay, tmp_path):
    members = {"pipeline.yaml": OWN, "plugins/0/mine.py": HARM}
    digest = document({"x": HARM}).members["x"].sha256
    with pytest.raises(RequestError) as caught:
        lay(members, plugins=CODE)
    for words in ("code of its own", "'mine.py'", "plugins/0/mine.py", digest, "--trust-plugins"):
        assert words in str(caught.value)


def test_trusted_code_is_the_bundles_own(lay, tmp_path):
    (tmp_path / "mine.py").write_text("the user's")
    found = lay({"pipeline.yaml": OWN, "plugins/0/mine.py": HARM}, plugins=CODE, trust=True)
    assert found.sets == ('plugins=["plugins/0/mine.py"]',)
    assert (tmp_path / "work" / "plugins" / "0" / "mine.py").read_bytes() == HARM


def test_an_installed_module_stays_a_name(lay):
    text = OWN.replace("mine.py", "my_package.parts")
    code = [Code(reference="my_package.parts", members=["plugins/0/my_package/parts.py"])]
    members = {"pipeline.yaml": text, "plugins/0/my_package/parts.py": HARM}
    with pytest.raises(RequestError, match=r"'my_package\.parts'"):
        lay(members, plugins=code)


def test_code_that_the_bundle_hides_is_found_where_it_would_run(lay, tmp_path):
    hidden = [
        ({"pipeline.yaml": OWN}, {}),
        ({"pipeline.yaml": PLAIN}, {"request": asked(sets=["plugins=[/tmp/evil.py]"])}),
        ({"pipeline.yaml": PLAIN}, {"request": asked(sets=["plugins=/tmp/evil.py"])}),
        ({"pipeline.yaml": OWN, "plugins/0/other.py": HARM},
         {"plugins": [Code(reference="other.py", members=["plugins/0/other.py"])]}),
    ]  # fmt: skip
    for number, (members, changes) in enumerate(hidden):
        for trust in (False, True):
            with pytest.raises(RequestError, match="not those that it lists"):
                lay(members, trust=trust, **changes)
            (tmp_path / "work").rename(tmp_path / f"old{number}{trust}")


@pytest.mark.parametrize("members", [[], ["plugins/0/absent.py"]])
def test_code_that_is_listed_must_be_there(members, lay):
    code = [Code(reference="mine.py", members=members)]
    with pytest.raises(RequestError, match="missing from the bundle"):
        lay({"pipeline.yaml": OWN}, plugins=code, trust=True)


def test_options_that_are_paths_cannot_smuggle_code_in(lay):
    with pytest.raises(RequestError, match="'plugins' is no option of data"):
        lay({"pipeline.yaml": PLAIN}, paths={"plugins": "/tmp/evil.py"})


def test_data_is_taken_from_where_it_was(lay, tmp_path):
    (tmp_path / "mein Ordner").mkdir()
    there = str(tmp_path / "mein Ordner")
    found = lay({"pipeline.yaml": PLAIN}, paths={"task.data.root": there})
    assert found.sets == (f"task.data.root={json.dumps(there)}",)


def test_data_is_taken_from_where_it_lies_now(lay, tmp_path):
    (tmp_path / "now" / "pictures").mkdir(parents=True)
    (tmp_path / "now" / "teacher.safetensors").touch()
    paths = {
        "task.data.root": "/then/pictures",
        "stages.teacher.weights": "/then/teacher.safetensors",
    }
    found = lay({"pipeline.yaml": PLAIN}, {"/then": "now"}, paths=paths)
    now = [json.loads(one.partition("=")[2]) for one in found.sets]
    assert now == [str(tmp_path / "now/pictures"), str(tmp_path / "now/teacher.safetensors")]


def test_absent_data_is_named_with_what_to_do_all_of_it_together(lay):
    paths = {"task.data.root": "/none/pictures", "stages.teacher.weights": "/none/t.safetensors"}
    with pytest.raises(RequestError) as caught:
        lay({"pipeline.yaml": PLAIN}, paths=paths)
    text = str(caught.value)
    assert "task.data.root\n  '/none/pictures', which the run read, is not here." in text
    assert "stages.teacher.weights" in text
    assert "--data /none/t.safetensors=PATH" in text


def test_a_place_that_nothing_was_read_from_is_refused(lay, tmp_path):
    with pytest.raises(RequestError, match="(?s)reads nothing at /other.*It reads: " + "/"):
        lay({"pipeline.yaml": PLAIN}, {"/other": "x"}, paths={"task.data.root": str(tmp_path)})
    (tmp_path / "work").rename(tmp_path / "old")
    with pytest.raises(RequestError, match=r"(?s)nothing at /other.*It reads: nothing"):
        lay({"pipeline.yaml": PLAIN}, {"/other": "x"})


def test_a_target_that_is_this_machine_comes_from_the_bundle(lay, tmp_path):
    members = {"pipeline.yaml": PLAIN, "targets/mine.yaml": LOCAL}
    lay(members, targets={"mine": "targets/mine.yaml"})
    assert (tmp_path / "work" / "targets" / "mine.yaml").read_bytes() == LOCAL


def test_another_device_is_only_reached_as_the_user_describes_it(lay, tmp_path):
    members = {"pipeline.yaml": PLAIN, "targets/pi.yaml": AWAY}
    with pytest.raises(RequestError, match=r"(?s)'pi' is another device.*targets/pi\.yaml"):
        lay(members, targets={"pi": "targets/pi.yaml"})
    (tmp_path / "work").rename(tmp_path / "old")
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "pi.yaml").write_bytes(LOCAL)
    lay(members, targets={"pi": "targets/pi.yaml"})
    assert not (tmp_path / "work" / "targets" / "pi.yaml").exists()


@pytest.mark.parametrize(
    ("name", "member"),
    [
        ("../../escape", "targets/cpu.yaml"),
        ("a/../../b", "targets/a/../../b.yaml"),
        ("mine", "pipeline.yaml"),
    ],
)
def test_a_target_cannot_be_laid_elsewhere(name, member, lay, tmp_path):
    members = {"pipeline.yaml": PLAIN, "targets/cpu.yaml": LOCAL}
    with pytest.raises(RequestError, match="names no target"):
        lay(members, targets={name: member})
    assert not list(tmp_path.glob("*.yaml"))


def test_a_target_that_is_absent_is_named(lay):
    with pytest.raises(RequestError, match=r"'targets/cpu\.yaml' is missing from"):
        lay({"pipeline.yaml": PLAIN}, targets={"cpu": "targets/cpu.yaml"})


def test_a_bundle_without_a_pipeline_is_refused(lay):
    with pytest.raises(RequestError, match=r"'pipeline.yaml' is missing"):
        lay({"other": "x"})
