"""A stage with a task of its own: a teacher of other classes than its student's."""

import json

import pytest

import edgekd
from edgekd.core.errors import RequestError
from edgekd.pipeline.plan import Planner
from edgekd.pipeline.resolve import resolve
from edgekd.pipeline.resolved import Request
from edgekd.pipeline.store import Store

LOW = 'data: {kind: digits, classes: ["0", "1", "2", "3", "4"]}'
HIGH = 'data: {kind: digits, classes: ["5", "6", "7", "8", "9"]}'
OWN = f"    task: {{kind: image_classification, {LOW}}}\n"
FEATURES = "[cross_entropy, {kind: hint, tap: {student: stages, teacher: stages}}]"
TEACHER = """\
    model: {kind: depthwise, width: 8, blocks: [1]}
    train: {epochs: 1}
"""
ACROSS = f"""\
name: across
threads: 1
task: {{kind: image_classification, {HIGH}}}
stages:
  teacher:
    kind: teacher
{OWN}{TEACHER}\
  student:
    kind: distill
    controls: true
    teacher: $teacher
    model: {{kind: depthwise, width: 4, blocks: [1]}}
    objective: {FEATURES}
    train: {{epochs: 1}}
"""
CHECK = """\
  onnx: {kind: export, model: $student, runtime: onnxruntime}
  check: {kind: validate, programs: [$onnx], reference: $student.no_kd}
"""
KD_TOO = FEATURES.replace("[cross_entropy,", "[cross_entropy, kd,")


def problems(stages, text, *sets):
    with pytest.raises(RequestError) as caught:
        stages(text, *sets)
    return caught.value.problems


def test_the_teachers_task_is_its_own_and_the_controls_are_those_that_can_be(stages):
    found = stages(ACROSS + CHECK)
    assert found["teacher"].task["data"]["classes"] == ["0", "1", "2", "3", "4"]
    assert found["teacher"].remarks == ["learns a task of its own: image_classification, digits"]
    assert {name for name, stage in found.items() if stage.task} == {"teacher"}
    assert {"student.no_kd", "teacher.outputs"} < {*found}
    assert "student.plain_kd" not in found, "it goes by scores of other classes"
    (remark,) = found["student"].remarks
    assert "teacher tells 0, 1, 2, 3, 4 apart, and not 5, 6, 7, 8, 9" in remark


@pytest.mark.parametrize(
    ("edit", "path", "words", "step"),
    [
        (
            (FEATURES, KD_TOO), "stages.student.objective[1]",
            "kd goes by what $teacher answers, which tells 0, 1, 2, 3, 4 apart, and not 5, 6",
            "by its features alone: attention",
        ),
        (
            ("train: {epochs: 1}\n  onnx", "train: {select: blended_confidence}\n  onnx"),
            "stages.student.train.select", "blended_confidence goes by what $teacher", "alone",
        ),
        (
            ("train: {epochs: 1}\n  onnx", "train: {augment: [hard]}\n  onnx"),
            "stages.student.train.augment[0]", "hard goes by what $teacher", "alone",
        ),
        (
            ("{kind: depthwise, width: 4, blocks: [1]}",
             "{kind: shared_classifier, of: {kind: depthwise, width: 4, blocks: [1]}, width: 8}"),
            "stages.student.model", "shared_classifier takes parts of its teacher over, and $teac",
            "learns all its parts itself",
        ),
        (
            ("reference: $student.no_kd", "reference: $teacher"), "stages.check.reference",
            "$teacher is of another task than this stage", "from labels alone",
        ),
        (
            ("export, model: $student", "export, model: $teacher"), "stages.onnx.model",
            "$teacher is of another task", "only be the teacher: of a distill stage",
        ),
        (
            ("    model: {kind: depthwise, width: 4, blocks: [1]}", "    model: $teacher"),
            "stages.student.model", "$teacher is of another task", "only be the teacher",
        ),
        (
            ("kind: export,", "kind: export, task: {kind: image_classification, data: digits},"),
            "stages.onnx.task", "a stage of kind 'export' has the pipeline's task", "distill, tea",
        ),
        (
            (LOW, LOW + ", size: 16"), "stages.student.teacher",
            "$teacher takes image 1x16x16, and the examples here are image 1x8x8", "size: stretch",
        ),
        (
            (LOW, LOW.replace('"4"', '"3"')), "stages.teacher.task.data.classes",
            "two classes or more, of digits that are in no other", "",
        ),
        (
            (LOW, LOW.replace('"4"', '"x"')), "stages.teacher.task.data.classes",
            "of digits that are in no other", "",
        ),
        (
            (LOW, 'data: {kind: digits, classes: ["0"]}'), "stages.teacher.task.data.classes",
            "two classes or more", "",
        ),
        (
            (LOW, "data: {kind: fashion_mnist, root: /nowhere}"), "stages.teacher.task.data",
            "/nowhere", "dataset-fashion-mnist",
        ),
        (
            (LOW, LOW + ", train_examples: 3"), "stages.teacher.task.train_examples", "3", "",
        ),
        (
            (LOW, LOW + ", sise: 8"), "stages.teacher.task.sise", "unknown key", "'size'",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_across_tasks_is_told_at_its_place_before_anything_runs(
    stages, edit, path, words, step
):
    assert edit[0] in ACROSS + CHECK
    found = problems(stages, (ACROSS + CHECK).replace(*edit))
    told = [p for p in found if words in p.message]
    assert [p.path for p in told] == [path], found
    assert step in told[0].next_step
    assert told[0].place.startswith("/") or "tiny.yaml:" in told[0].place


def test_what_was_kept_of_a_teacher_of_other_classes_is_no_better_to_hear(stages):
    kept = "  said: {kind: outputs, model: $teacher, taps: [stages]}\n"
    text = (ACROSS + kept).replace("    teacher: $teacher", "    teacher: $said")
    assert stages(text)["student"].inputs == ("said",)
    (problem,) = problems(stages, text.replace(FEATURES, KD_TOO))
    assert "kd goes by what $said answers" in problem.message


def test_the_same_classes_from_other_data_may_be_heard_by_their_scores(stages):
    same = ACROSS.replace(LOW, HIGH.replace("digits,", "digits, seed: 1,"))
    found = stages(same.replace(FEATURES, "[kd]"))
    assert {"student.no_kd", "student.plain_kd"} < {*found}
    assert found["student"].remarks == []
    refused = problems(stages, same + CHECK.replace("$student.no_kd", "$teacher"))
    assert [p.path for p in refused] == ["stages.check.reference"], "its examples are others"


def test_the_pipelines_task_written_again_is_no_task_of_its_own(stages):
    again = ACROSS.replace(LOW, HIGH) + CHECK.replace("$student.no_kd", "$teacher")
    assert not any(stage.task for stage in stages(again).values())


def test_a_stage_between_has_the_task_of_the_one_that_asks_for_it(stages):
    found = stages(ACROSS.replace("    controls: true\n", OWN))
    assert found["student"].task == found["teacher.outputs"].task == found["teacher"].task


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Return a folder in which the pipeline ran, and the result."""
    folder = tmp_path_factory.mktemp("across")
    (folder / "across.yaml").write_text(ACROSS)
    return folder, edgekd.run(folder / "across.yaml", store=folder / "store", runs=folder / "runs")


def plan(folder, *sets, file="across.yaml"):
    """Return the steps by stage; planned here, since a worker takes seconds to start."""
    resolved = resolve(Request(str(folder / file), sets))
    made = Planner(resolved, Store(folder / "store")).plan()
    return {step.stage.name: step for step in made.steps}


def test_it_runs_and_says_of_each_what_it_learned(ran):
    folder, made = ran
    assert not made.failed
    told = {
        name: json.loads((made.folders[name] / "model.json").read_text())["facts"]["labels"]
        for name in ("teacher", "student", "student.no_kd")
    }
    assert told == {"teacher": [*"01234"], "student": [*"56789"], "student.no_kd": [*"56789"]}
    assert {step.action for step in plan(folder).values()} == {"keep"}
    identity = made.manifests["teacher"].identity
    assert identity["task"]["data"]["classes"] == [*"01234"]
    assert "task" not in identity["options"]


def test_another_task_of_the_teacher_changes_its_key_and_of_others_what_they_hear_alone(ran):
    folder, _ = ran
    before, after = plan(folder), plan(folder, 'stages.teacher.task.data.classes=["0", "1"]')
    assert after["teacher"].key != before["teacher"].key
    assert all(why.startswith("task.data.classes") for why in after["teacher"].reasons)
    assert after["student"].reasons == ["input teacher.outputs changes"]
    assert after["student.no_kd"].key == before["student.no_kd"].key


def test_what_judges_the_teachers_data_moves_no_key(ran):
    steps = plan(ran[0], "stages.teacher.task.duplicates=allow")
    assert {step.action for step in steps.values()} == {"keep"}


def test_a_teacher_is_one_result_wherever_its_task_is_written(ran):
    folder, _ = ran
    alone = f"name: alone\nthreads: 1\ntask: {{kind: image_classification, {LOW}}}\n"
    (folder / "alone.yaml").write_text(f"{alone}stages:\n  big:\n    kind: teacher\n{TEACHER}")
    assert plan(folder, file="alone.yaml")["big"].action == "keep"


def test_another_task_of_the_run_leaves_the_teacher_as_it_is(ran):
    steps = plan(ran[0], 'task.data.classes=["7", "8", "9"]')
    actions = {name: step.action for name, step in steps.items()}
    assert actions.pop("teacher") == "keep"
    assert {*actions.values()} == {"run"}
