import pytest
from report_evidence import HOST

from edgekd.core.artifact import Manifest
from edgekd.core.results import MeasuredProgram, Measurements
from edgekd.report.lineage import lineage


def manifest(name, kind, inputs):
    contents = {one: manifest(one, "", ()).content for one in inputs}
    return Manifest(
        f"key of {name}", name, kind, "model", {}, contents, {}, {},
        "2026-11-23T09:00:00+00:00", 1.0, 1.0, HOST,
    )  # fmt: skip


def descent(stages, programs):
    """Return the lineage of stages {name: (kind, *inputs)} and programs [(name, role, form)]."""
    made = {name: manifest(name, kind, inputs) for name, (kind, *inputs) in stages.items()}
    exports = []
    for name, _, _ in programs:
        export = name if made[name].kind == "export" else f"{name}.onnx"
        made.setdefault(export, manifest(export, "export", [name]))
        exports.append(export)
    measured = [
        MeasuredProgram(
            name=name, role=role, runtime=form.split()[1], precision=form.split()[0], file="f",
            size_bytes=1, digest="",
        )
        for name, role, form in programs
    ]  # fmt: skip
    reference = next(name for name, role, _ in programs if role == "reference")
    found = Measurements(
        reference=reference, split="test", examples=1, targets=[], programs=measured,
        measurements=[], quality=[], gates=[],
    )  # fmt: skip
    return lineage(found, manifest("check", "validate", exports), made)


STAGES = {
    "teacher": ("teacher",),
    "student": ("distill", "teacher"),
    "control": ("distill",),
    "pruned": ("prune", "student"),
    "recovered": ("distill", "teacher", "pruned"),
    "int8": ("quantize", "recovered"),
    "ort": ("export", "int8"),
    "pte": ("export", "int8"),
}
TEACHER = ("teacher", "reference", "fp32 onnx")
ENDS = [("ort", "candidate", "int8 onnx"), ("pte", "candidate", "int8 executorch")]


def along(*names):
    return [(name, "along", "fp32 onnx") for name in names]


@pytest.mark.parametrize("names", [("control", "student"), ("student", "control")])
def test_a_control_is_told_by_descent_and_not_by_place(names):
    found = descent(STAGES, [TEACHER, *along(*names), *ENDS])
    assert found.controls == {"control"}
    assert found.before["student"] == found.before["control"] == "teacher"
    assert found.before["ort"] == found.before["pte"] == "student"


def test_a_step_follows_the_model_it_was_made_from_and_not_its_teacher():
    found = descent(STAGES, [TEACHER, *along("pruned", "recovered", "student"), *ENDS])
    assert {name: found.before[name] for name in ("pruned", "recovered", "ort")} == {
        "pruned": "student", "recovered": "pruned", "ort": "recovered",
    }  # fmt: skip
    assert not found.controls


def test_forms_of_one_model_follow_the_fp32_one_in_the_same_runtime():
    stages = STAGES | {"fp32_pte": ("export", "recovered")}
    programs = [TEACHER, *along("recovered"), ("fp32_pte", "along", "fp32 executorch"), *ENDS]
    found = descent(stages, programs)
    assert (found.before["ort"], found.before["pte"]) == ("recovered", "fp32_pte")
    assert found.parents["pte"].program.name == "fp32_pte"
    assert found.parents["ort"].program.name == "recovered"


def test_a_candidate_can_be_the_parent_of_another():
    found = descent(STAGES, [TEACHER, ("recovered", "candidate", "fp32 onnx"), *ENDS])
    assert found.before["ort"] == "recovered"
    assert found.parents["ort"].program.name == "recovered"
    assert "recovered" not in found.parents


def test_what_the_quantizer_found_does_not_hold_for_what_was_trained_since():
    stages = STAGES | {"qat": ("distill", "teacher", "int8"), "trained": ("export", "qat")}
    found = descent(stages, [TEACHER, *along("recovered"), ("trained", "candidate", "int8 onnx")])
    parent = found.parents["trained"]
    assert (parent.stage, parent.quantizer) == ("recovered", "")
    assert parent.program.name == "recovered"


def test_the_parent_is_what_was_quantized_and_no_earlier_step():
    found = descent(STAGES, [TEACHER, *along("student"), *ENDS])
    assert found.parents["ort"].program is None
    assert (found.parents["ort"].stage, found.parents["ort"].quantizer) == ("recovered", "int8")


def test_a_program_that_descends_from_nothing_measured_is_compared_with_the_reference():
    found = descent(STAGES | {"own": ("export", "control")}, [TEACHER, *ENDS[:1],
                    ("own", "candidate", "fp32 onnx")])  # fmt: skip
    assert found.before["own"] == "teacher"
