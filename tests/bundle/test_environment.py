"""What is other here: told by name, and lifting the promises that rest on it, no others."""

import pytest

import edgekd
from edgekd.bundle.document import Package
from edgekd.bundle.environment import changes, compare_environments


@pytest.fixture(scope="module")
def planned(finished):
    return edgekd.plan(finished.file, store=finished.store)


def told(bundle, planned):
    """Return the lines and the stages whose bytes are still promised."""
    found = compare_environments(bundle, planned)
    promised = [s.name for s in bundle.stages if s.name not in found.reasons]
    return [str(one) for one in found.differences], promised, found


WHOLE = ["teacher", "teacher.outputs", "student", "int8", "onnx", "teacher.onnx"]


def test_where_nothing_changed_models_and_programs_are_promised(finished, planned):
    lines, promised, found = told(finished.bundle, planned)
    assert not lines
    assert promised == WHOLE
    assert found.reasons == {"check": "it holds times", "report": "it holds times"}


@pytest.mark.parametrize(
    ("name", "promised"),
    [
        ("python", []),
        ("cpu", []),
        ("arch", []),
        ("features", []),
        ("system", WHOLE),
        ("cores", WHOLE),
        ("memory_gib", WHOLE),
    ],
)
def test_another_machine_is_told_and_lifts_the_promise_where_it_shapes(
    name, promised, finished, planned
):
    machine = finished.bundle.machine | {name: "other"}
    stages = [s.model_copy(update={"host": machine}) for s in finished.bundle.stages]
    bundle = finished.bundle.model_copy(update={"machine": machine, "stages": stages})
    lines, kept, _ = told(bundle, planned)
    assert len(lines) == 1
    assert f": other -> {finished.bundle.machine[name]}" in lines[0]
    assert kept == promised


def packages(bundle, name, **changes):
    found = [
        p.model_copy(update=changes) if p.name == name else p
        for p in bundle.packages
        if p.name != name or changes
    ]
    return bundle.model_copy(update={"packages": found})


def test_packages_are_told_by_version_and_by_build(finished, planned):
    bundle = finished.bundle
    here = {p.name: p for p in bundle.packages}
    numpy = here["numpy"].version
    lines, promised, found = told(packages(bundle, "numpy", version="0.0.1"), planned)
    assert lines == [f"package numpy: 0.0.1 -> {numpy}"]
    assert found.differences[0].step == "pip install 'numpy==0.0.1'"
    assert promised == []
    assert found.reasons["teacher"] == "other here: package numpy"
    lines, promised, _ = told(packages(bundle, "numpy", record="0" * 64), planned)
    assert lines == [f"build of numpy {numpy}: 000000000000 -> {here['numpy'].record[:12]}"]
    assert promised == []
    lines, *_ = told(packages(bundle, "numpy"), planned)
    assert lines == [f"package numpy: absent -> {numpy}"]
    more = [*bundle.packages, Package(name="gone", version="1", record="")]
    lines, *_ = told(bundle.model_copy(update={"packages": more}), planned)
    assert lines == ["package gone: 1 -> absent"]


def identity(bundle, name, **changes):
    stages = [
        s.model_copy(update={"identity": s.identity | changes}) if s.name == name else s
        for s in bundle.stages
    ]
    return bundle.model_copy(update={"stages": stages})


def test_what_differs_of_one_stage_lifts_the_promise_of_what_rests_on_it(finished, planned):
    lines, promised, found = told(identity(finished.bundle, "student", seed=7), planned)
    assert lines == ["seed (student): 7 -> 0"]
    assert promised == ["teacher", "teacher.outputs", "teacher.onnx"]
    assert found.reasons["student"] == "other here: seed"
    assert found.reasons["int8"] == "rests on student"


@pytest.mark.parametrize(
    "changes",
    [{"options": {}}, {"code": {}}, {"task": {}}, {"threads": 7}, {"precision": "tf32"}],
    ids=str,
)
def test_all_that_a_stage_was_made_of_lifts_its_promise(changes, finished, planned):
    _, promised, _ = told(identity(finished.bundle, "student", **changes), planned)
    assert promised == ["teacher", "teacher.outputs", "teacher.onnx"]


def test_a_stage_that_is_not_planned_here_is_told(finished, planned):
    stages = [
        s.model_copy(update={"name": "gone"}) if s.name == "int8" else s
        for s in finished.bundle.stages
    ]
    lines, promised, _ = told(finished.bundle.model_copy(update={"stages": stages}), planned)
    assert lines == ["stage (gone): quantize -> absent"]
    assert "gone" not in promised


def test_code_is_told_by_file_and_shared_differences_once(finished, planned):
    bundle = finished.bundle
    for stage in ("teacher", "student"):
        code = planned.step(stage).identity["code"] | {"train/loop.py": "0" * 16}
        bundle = identity(bundle, stage, code=code)
    lines, promised, _ = told(bundle, planned)
    assert len(lines) == 1
    assert lines[0].startswith("code of train/loop.py (teacher, student): 0000")
    assert promised == []


def test_other_data_is_told_with_what_to_do(finished, planned):
    then = "0" * 64
    files = {"0:renamed.csv.gz": then}
    (data,) = finished.bundle.data
    known = data.model_copy(update={"sha256": then, "name": "pictures", "path": "/data/pictures"})
    bundle = identity(finished.bundle, "teacher", files=files).model_copy(
        update={"data": [known], "paths": {"task.data.root": "/data/pictures"}}
    )
    lines, promised, found = told(bundle, planned)
    assert lines == [f"data pictures (teacher): 000000000000 -> {data.sha256[:12]}"]
    assert found.differences[0].step == (
        f"{data.path} is not what the run read. Put that back, "
        "or say where it is: --data /data/pictures=PATH."
    )
    assert promised == []
    assert found.other_data == {s.name for s in bundle.stages}, "all of them rest on it"


def test_data_under_another_name_is_the_same_data(finished, planned):
    files = {"0:renamed.csv.gz": finished.bundle.data[0].sha256}
    lines, promised, _ = told(identity(finished.bundle, "teacher", files=files), planned)
    assert not lines
    assert promised == WHOLE


def test_results_of_a_gpu_are_not_promised(finished, planned):
    lines, promised, found = told(identity(finished.bundle, "teacher", device="cuda"), planned)
    assert lines == ["device (teacher): cuda -> cpu"]
    assert found.reasons["teacher"] == "made on cuda"
    assert promised == []


def test_a_kept_stage_from_another_machine_is_told(finished, planned):
    host = finished.bundle.machine | {"cpu": "Another"}
    stages = [
        s.model_copy(update={"host": host}) if s.name == "student" else s
        for s in finished.bundle.stages
    ]
    lines, promised, _ = told(finished.bundle.model_copy(update={"stages": stages}), planned)
    assert lines == [
        f"cpu where it was made (student): Another -> {finished.bundle.machine['cpu']}"
    ]
    assert promised == ["teacher", "teacher.outputs", "teacher.onnx"]


def test_another_version_of_edgekd_is_told(finished, planned):
    lines, promised, _ = told(finished.bundle.model_copy(update={"edgekd": "0.0.1"}), planned)
    assert lines == [f"edgekd: 0.0.1 -> {edgekd.__version__}"]
    assert promised == WHOLE, "the code of every stage is the same"


def test_changes_are_the_leaves_that_differ():
    then = {"a": [1, 2], "b": {"c": 1}, "d": 1, "e": [1]}
    now = {"a": [1, 3], "b": {"c": 1}, "e": [1, 2], "f": None}
    assert list(changes(then, now)) == [
        ("a[1]", 2, 3), ("d", 1, "absent"), ("e", [1], [1, 2]), ("f", "absent", None),
    ]  # fmt: skip
    assert not list(changes(then, then))
