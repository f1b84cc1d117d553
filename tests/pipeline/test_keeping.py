"""`keep: pays`: a stage that judges takes the name of the one that is judged."""

import pytest

from edgekd.core.errors import RequestError

from .conftest import TINY

WAY = "transform: {kind: channels, ratio: 0.25, round_to: 1}"
KEPT = TINY.replace(WAY, f"{WAY}, keep: pays")
AFTER = """\
  onnx: {kind: export, model: $smaller, runtime: onnxruntime}
  check: {kind: validate, programs: [$onnx], reference: $teacher, targets: [cpu]}
"""


def problems(stages, text):
    with pytest.raises(RequestError) as caught:
        stages(text)
    return caught.value.problems


def test_what_goes_on_from_it_goes_on_from_what_was_kept(stages):
    found = stages(KEPT + AFTER)
    tried, judge = found["smaller.tried"], found["smaller"]
    assert (tried.kind, judge.kind, judge.makes) == ("prune", "keep", "model")
    assert tried.options == stages(TINY)["smaller"].options
    assert judge.options["model"] == "$smaller.tried"
    assert judge.options["before"] == "$student"
    assert set(judge.inputs) == {"smaller.tried", "student"}
    assert found["onnx"].inputs == ("smaller",)
    assert judge.measures
    assert not tried.measures


def test_it_must_pay_where_the_file_measures_or_where_it_says(stages):
    assert stages(KEPT)["smaller"].options["targets"] == ["cpu"]
    given = KEPT.replace("keep: pays", "keep: {targets: [cpu], max_drop: 0.5}")
    options = stages(given)["smaller"].options
    assert (options["targets"], options["max_drop"]) == (["cpu"], 0.5)


def test_each_trial_of_a_sweep_is_judged_for_itself(stages):
    swept = KEPT + AFTER + "sweep: {smaller: {grid: {transform.ratio: [0.25, 0.5]}}}\n"
    found = stages(swept)
    for number, ratio in ((1, 0.25), (2, 0.5)):
        assert found[f"smaller.{number}"].kind == "keep"
        assert found[f"smaller.{number}.tried"].options["transform"]["ratio"] == ratio
        assert found[f"onnx.{number}"].inputs == (f"smaller.{number}",)


def test_a_quantized_model_that_may_be_kept_is_told_as_one(stages):
    quantized = (
        KEPT
        + """\
  int8: {kind: quantize, model: $smaller, transform: int8_static, keep: pays}
  again: {kind: prune, model: $int8, transform: {kind: channels, ratio: 0.5}}
"""
    )
    (problem,) = problems(stages, quantized)
    assert "$int8 is quantized" in problem.message


@pytest.mark.parametrize(
    ("edit", "place", "words"),
    [
        (("{epochs: 2}", "{epochs: 2}\n    keep: pays"), "stages.student.keep", "goes on from no"),
        (("keep: pays", "keep: sometimes"), "stages.smaller.keep", "expected 'pays'"),
        (("keep: pays", "keep: {max_drop: -1}"), "stages.smaller.keep.max_drop", "greater than"),
        (("keep: pays", "keep: {max_drp: 1}"), "stages.smaller.keep.max_drp", "mean 'max_drop'"),
        (("keep: pays", "keep: {before: $teacher}"), "stages.smaller.keep.before", "unknown key"),
        (("keep: pays", "keep: {targets: [mars]}"), "stages.smaller.keep.targets", "mars"),
        (("keep: pays", "keep: pays, seeds: 2"), "stages.smaller.keep", "no seeds"),
    ],
)
def test_what_cannot_be_kept_is_told_at_its_place(stages, edit, place, words):
    found = problems(stages, KEPT.replace(*edit))
    assert [p.path.startswith(place) for p in found if words in str(p)] == [True], found
    assert all(p.place for p in found)


def test_a_choice_and_what_it_keeps_rest_on_the_code_of_all_that_it_may_try(stages):
    found = stages(KEPT + "  best: {kind: choose, model: $smaller}\n")
    for name in ("best", "smaller"):
        code = found[name].code
        for part in (
            "runtimes/onnxruntime",
            "runtimes/executorch",
            "transforms/quantize/int8_static",
        ):
            assert f"{part}.py" in code, (name, part)
        assert found[name].measures
        assert "onnxruntime" in found[name].libraries
    assert "stages/quantize.py" in found["best"].code


def test_an_export_rests_on_the_code_that_quantizes(stages):
    assert "transforms/quantize/int8_static.py" in stages(KEPT + AFTER)["onnx"].code
