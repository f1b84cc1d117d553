"""A teacher is asked once: kept outputs from the file to the student."""

import json

import pytest
import torch
from typer.testing import CliRunner

import edgekd
from edgekd.cli.app import app
from edgekd.core.errors import RequestError, StageError
from edgekd.models.folder import load_model
from edgekd.train.shards import Shards
from tests.pipeline.conftest import TINY

STUDENT = "  student:\n"
OTHER = """\
  other:
    kind: distill
    teacher: $teacher
    model: {kind: depthwise, width: 8, blocks: [1]}
    objective: [kd]
    train: {epochs: 1}
"""
AUGMENTED = TINY.replace("train: {epochs: 2}", "train: {epochs: 2, augment: [flip]}")


def weights(result, stage="student"):
    return load_model(result.folders[stage]).module.state_dict()


def test_two_students_share_one_pass_and_the_second_run_asks_nobody(tiny):
    result = tiny(TINY + OTHER, until="student")
    assert [*result.ran] == ["teacher", "teacher.outputs", "student"]
    assert result.facts["student"]["training"]["time_shares"]["teacher"] < 0.2
    assert [*tiny(TINY + OTHER, until="other").ran] == ["other"]


def test_a_kept_teacher_teaches_what_one_that_looks_does(tiny):
    kept = weights(tiny(until="student"))
    never = TINY.replace("kind: distill\n", "kind: distill\n    cache: {keep: never}\n")
    result = tiny(never, until="student")
    assert [*result.ran] == ["student"]
    for name, value in weights(result).items():
        assert (kept[name] - value).abs().max() < 2e-2, name


def test_a_student_sees_the_views_that_were_kept(tiny):
    text = AUGMENTED.replace("kind: distill\n", "kind: distill\n    cache: {views: 2}\n")
    result = tiny(text, until="student")
    assert "teacher.outputs" in result.ran
    online = tiny(text.replace("{views: 2}", "{views: 2, keep: never}"), until="student")
    assert "teacher.outputs" not in online.ran
    for name, value in weights(online).items():
        assert (weights(result)[name] - value).abs().max() < 2e-2, name


def test_outputs_can_be_a_stage_of_the_file(tiny):
    text = TINY.replace(
        "  student:\n", "  said: {kind: outputs, model: $teacher, top: 4}\n  student:\n"
    ).replace("teacher: $teacher", "teacher: $said")
    result = tiny(text, until="student")
    assert [*result.ran] == ["teacher", "said", "student"]
    assert "4 of 10 classes" in result.facts["said"]["says"]


def test_two_teachers_are_kept_each_and_a_term_names_its_own(tiny):
    text = TINY.replace("  student:\n", OTHER.replace("$teacher", "$teacher") + "  student:\n", 1)
    text = text.replace(
        "    teacher: $teacher\n    model: {kind: depthwise, width: 4",
        "    teacher: {a: $teacher, b: $other}\n    model: {kind: depthwise, width: 4",
    ).replace("{kind: kd, temperature: 4.0}", "{kind: kd, teacher: b}, kd")
    result = tiny(text, until="student")
    assert {"teacher.outputs", "other.outputs", "student"} <= {*result.ran}


def test_a_student_may_be_its_own_teacher(tiny):
    text = TINY + OTHER.replace("teacher: $teacher", "teacher: $student").replace(
        "{kind: depthwise, width: 8, blocks: [1]}", "$student"
    )
    result = tiny(text, until="other")
    assert "student.outputs" in result.ran
    assert result.facts["other"]["parameters"] == result.facts["student"]["parameters"]


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        (
            AUGMENTED.replace("kind: distill\n", "kind: distill\n    cache: {keep: always}\n"),
            "stages.student.cache.keep",
            "teacher cannot be kept: with flip every epoch shows another view",
        ),
        (
            TINY.replace("{kind: kd, temperature: 4.0}", "{kind: kd, teacher: big}"),
            "stages.student.objective[0].teacher",
            "no teacher is named 'big'.",
        ),
        (
            AUGMENTED.replace(
                "  student:\n", "  said: {kind: outputs, model: $teacher}\n  student:\n"
            ).replace("teacher: $teacher", "teacher: $said"),
            "stages.student.teacher",
            "these outputs are of examples that were changed in another way than train.augment.",
        ),
        (
            TINY.replace(
                "  student:\n", "  said: {kind: outputs, model: $teacher, top: 10}\n  student:\n"
            ),
            "stages.said.top",
            "10 of the classes are asked for; it has 10 classes.",
        ),
        (
            TINY.replace(
                "  student:\n",
                "  said: {kind: outputs, model: $teacher, taps: [nope]}\n  student:\n",
            ),
            "stages.said.taps[0]",
            "the model has no module 'nope'.",
        ),
        (
            TINY.replace("temperature: 4.0}", "tap: {student: head, teacher: head}}").replace(
                "train: {epochs: 2}", "train: {epochs: 2, compile: true}"
            ),
            "stages.student.train.compile",
            "a compiled student gives no tapped features.",
        ),
        (
            TINY.replace("train: {epochs: 2}", "train: {epochs: 2, accumulate: 0}"),
            "stages.student.train.accumulate",
            "expected a value greater than or equal to 1, found 0.",
        ),
    ],
)
def test_what_cannot_be_is_told_by_the_plan(tmp_path, text, path, words):
    (tmp_path / "tiny.yaml").write_text(text)
    with pytest.raises(RequestError) as caught:
        edgekd.plan(tmp_path / "tiny.yaml", store=tmp_path / "store")
    found = {problem.path: problem.message for problem in caught.value.problems}
    assert found[path].startswith(words)


def test_the_plan_says_who_is_kept_and_who_looks_and_why(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(AUGMENTED + OTHER)
    said = CliRunner().invoke(app, ["plan", "tiny.yaml"]).stdout
    assert "teacher.outputs  run   implied by other" in said
    why = "with flip every epoch shows another view; cache: {views: 4} would keep four"
    assert f"teacher looks at every batch: {why}" in said
    as_json = json.loads(CliRunner().invoke(app, ["plan", "tiny.yaml", "--json"]).stdout)
    remarks = {step["stage"]: step["remarks"] for step in as_json["steps"]}
    assert remarks["student"] == [f"teacher looks at every batch: {why}"]
    assert remarks["other"] == []


ONNX = """\
name: taught
seed: 0
threads: 1
task: {kind: image_classification, data: digits, train_examples: 128}
stages:
  big: {kind: given, file: big.onnx}
  student:
    kind: distill
    teacher: $big
    model: {kind: depthwise, width: 4, blocks: [1]}
    objective: [kd]
    train: {epochs: 2}
"""


@pytest.fixture
def given(tiny, tmp_path):
    """Put the tiny teacher as big.onnx beside the pipeline."""
    export = "  big: {kind: export, model: $teacher, runtime: onnxruntime}\n"
    own = tiny(TINY.replace("  smaller:", f"{export}  smaller:"), until="big")
    (program,) = own.folders["big"].glob("*.onnx")
    (tmp_path / "big.onnx").write_bytes(program.read_bytes())


def test_a_program_that_somebody_gave_can_teach(tiny, given):
    kept = Shards(tiny(until="student").folders["teacher.outputs"], torch.device("cpu"))
    result = tiny(ONNX)
    assert [*result.ran] == ["big", "big.outputs", "student"]
    found = Shards(result.folders["big.outputs"], torch.device("cpu"))
    rows = torch.arange(128)
    for name, column in kept.take(rows).items():
        torch.testing.assert_close(found.take(rows)[name], column, rtol=0, atol=1e-2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("objective: [kd]", "cache: {keep: never}\n    objective: [kd]"), "not in every batch"),
        (("{epochs: 2}", "{epochs: 2, augment: [flip]}"), "every epoch shows another view"),
        (("[kd]", "[{kind: kd, tap: {teacher: head}}]"), "whose inside cannot be tapped"),
    ],
)
def test_a_program_that_could_not_be_kept_is_refused(tiny, given, change, words):
    with pytest.raises(RequestError, match=words) as caught:
        tiny(ONNX.replace(*change))
    assert caught.value.problems[0].path == "stages.student.teacher"


def test_a_teacher_that_no_term_listens_to_is_not_asked(tiny, tmp_path):
    text = TINY.replace("[{kind: kd, temperature: 4.0}, cross_entropy]", "[cross_entropy]")
    result = tiny(text, until="student")
    assert [*result.ran] == ["teacher", "student"]
    told = edgekd.plan("tiny.yaml").step("student").stage.remarks
    assert list(told) == ["no term listens to teacher"]


def test_teachers_that_saw_different_views_do_not_teach_together(tiny):
    seen = (
        "  one: {kind: outputs, model: $teacher, views: 2, augment: [flip]}\n"
        "  two: {kind: outputs, model: $teacher, views: 2, augment: [flip], seed: 5}\n"
    )
    text = AUGMENTED.replace(STUDENT, seen + STUDENT)
    text = text.replace("{kind: kd, temperature: 4.0}", "kd, {kind: kd, teacher: b}")
    text = text.replace("teacher: $teacher\n    model", "teacher: {a: $one, b: $two}\n    model")
    with pytest.raises(StageError, match="are of different views of the examples"):
        tiny(text, until="student")
    alike = text.replace(", seed: 5", "")
    assert "student" in tiny(alike, until="student").ran
