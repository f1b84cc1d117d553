"""Which layers of an int8 program are found to be better off in fp32."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from edgekd.core.refs import UseRuntime, UseTransform
from edgekd.core.results import OperatorTime, Profile
from edgekd.devices.answers import Failure
from edgekd.trial import leaving_out as module
from edgekd.trial.forms import Form
from edgekd.trial.leaving_out import LeftOut, can_leave_out, leaner, worth_leaving_out

CHAIN = {
    ("", "stem.conv"): 100, ("stem.conv", "stem.relu"): 400, ("stem.relu", "body.conv"): 400,
    ("body.conv", "body.relu"): 200, ("body.relu", "body"): 200, ("body", "head"): 50,
    ("head", ""): 10,
}  # fmt: skip
"""Numbers from module to module; the activations are joined to the convolutions."""
FP32 = {"stem.conv": 50, "body.conv": 400, "body": 20, "head": 100}
INT8 = {"stem.conv": 100, "body.conv": 120, "body": 10, "head": 40}


def profile(operators):
    times = [
        OperatorTime(operator=kind, module=where, delegated=None, calls=1, us=us)
        for kind, where, us in operators
    ]
    return Profile(runs=20, whole_us=sum(each.us for each in times), operators=times)


def of(times, kind="QLinearConv", rounding=0.0):
    """Return a profile of one operator per module, with rounding that bears no module's name."""
    extra = [("QuantizeLinear", "", rounding)] if rounding else []
    return profile([(kind, where, us) for where, us in times.items()] + extra)


def worth(int8, rounding, flow=CHAIN, fp32=FP32):
    return worth_leaving_out(flow, of(int8, rounding=rounding), of(fp32, "Conv"))


def test_a_layer_that_is_faster_in_fp32_is_left_out_with_what_is_joined_to_it():
    found = worth(INT8, rounding=2.0)  # 110 numbers are rounded: 0.018 us each, 7.3 us behind it
    assert found.paths == ("stem",)
    saved = 50 + 2.0 / 110 * (100 - 400)
    assert found.share == pytest.approx(saved / (sum(INT8.values()) + 2.0))


def test_it_stays_where_rounding_behind_it_costs_more():
    assert worth(INT8, rounding=30.0) == LeftOut((), 0.0)


def test_neighbours_go_together_where_the_border_between_them_is_dear():
    slow = INT8 | {"body.conv": 395}
    assert worth(slow, rounding=2.0).paths == ("stem",)
    assert worth(slow, rounding=9.0).paths == ("body.conv", "body.relu", "stem")


def test_what_promises_next_to_nothing_is_not_worth_a_program():
    assert worth(FP32 | {"head": 103}, rounding=0.1).paths == ()
    assert worth(FP32 | {"head": 113}, rounding=0.1).paths == ("head",)


def test_where_all_layers_are_faster_in_fp32_the_program_in_fp32_is_the_answer():
    assert worth({name: 2 * us for name, us in FP32.items() if name != "body"}, 9.0).paths == ()


def test_a_module_around_others_stays_with_them():
    slow = INT8 | {"body": 300}
    assert "body" not in worth(slow, rounding=0.1).paths


def test_what_computes_in_floats_already_is_not_left_out_and_its_border_is_there():
    flow = {("", "conv"): 100, ("conv", "norm"): 100, ("norm", "last"): 100, ("last", "end"): 10,
            ("end", ""): 10}  # fmt: skip
    int8 = profile(
        [("QLinearConv", "conv", 50.0), ("LayerNormalization", "norm", 9.0),
         ("QLinearConv", "last", 60.0), ("QLinearConv", "end", 40.0),
         ("DequantizeLinear", "conv", 31.0)]
    )  # fmt: skip
    fp32 = of({"conv": 60.0, "norm": 9.0, "last": 55.0, "end": 200.0}, "Conv")
    found = worth_leaving_out(flow, int8, fp32)  # rounding is 0.1 us a number
    assert found.paths == ("conv", "last")
    assert found.share == pytest.approx((-10 + 20 + 5 + 10 - 1) / 190)


def test_of_a_file_that_tells_no_modules_nothing_is_left_out():
    assert worth(INT8, rounding=2.0, flow={}).paths == ()


class Runtime:
    """A runtime whose programs tell how numbers flow."""

    kind = "onnxruntime"

    def build(self):
        return SimpleNamespace(flow=lambda file: {"file": file})


def candidate(name, transform=None, runtime=None):
    use = transform and UseTransform.model_validate(transform)
    form = Form(runtime or Runtime(), use)
    entry = SimpleNamespace(file=Path(f"{name}.onnx"))
    return SimpleNamespace(name=name, form=form, level="all", entry=lambda: entry)


def raced(times, profiles, out=()):
    racers = [
        SimpleNamespace(
            entry=SimpleNamespace(name=name), median_ms=ms, timings=[ms], out=name in out
        )
        for name, ms in times.items()
    ]
    return SimpleNamespace(racers=racers, profile=profiles.get), min(
        racers, key=lambda racer: racer.median_ms
    )


STATIC = {"kind": "int8_static", "exclude": ("head",)}
CANDIDATES = [
    candidate("fp32"),
    candidate("fp32 slow"),
    candidate("static", STATIC),
    candidate("static slow", STATIC),
    candidate("dynamic", {"kind": "int8_dynamic"}),
]
TIMES = {"fp32 slow": 9.0, "fp32": 5.0, "static": 3.0, "static slow": 4.0, "dynamic": 2.9}
PROFILES = {"fp32": of(FP32, "Conv"), "static": of(INT8)}


@pytest.fixture
def estimated(monkeypatch):
    """Have a tenth of every program's time saved without its stem; return what was asked."""
    asked = []

    def worth(*given):
        asked.append(given)
        return LeftOut(("stem",), 0.1)

    monkeypatch.setattr(module, "worth_leaving_out", worth)
    return asked


def test_the_fastest_static_program_is_tried_without_them_at_its_level(estimated):
    ((form, levels),) = leaner(CANDIDATES, *raced(TIMES, PROFILES))
    assert form.transform.options.exclude == ("head", "stem")
    assert levels == ["all"]
    assert estimated == [({"file": Path("fp32.onnx")}, PROFILES["static"], PROFILES["fp32"])]


def test_one_that_would_not_be_the_fastest_even_so_is_not_made(estimated):
    assert leaner(CANDIDATES, *raced(TIMES | {"dynamic": 2.6}, PROFILES)) == []


def test_what_has_raced_already_or_leaves_nothing_out_is_not_made(estimated, monkeypatch):
    own = candidate("own list", {"kind": "int8_static", "exclude": ("head", "stem")})
    assert leaner([*CANDIDATES, own], *raced(TIMES | {"own list": 3.1}, PROFILES)) == []
    monkeypatch.setattr(module, "worth_leaving_out", lambda *_: LeftOut((), 0.0))
    assert leaner(CANDIDATES, *raced(TIMES | {"dynamic": 3.1}, PROFILES)) == []


@pytest.mark.parametrize("missing", [None, Failure("was killed by SIGSEGV")])
def test_without_a_profile_nothing_is_tried(estimated, missing):
    assert leaner(CANDIDATES, *raced(TIMES, PROFILES | {"fp32": missing})) == []
    assert estimated == []


def test_what_is_out_of_the_race_is_not_looked_into(estimated):
    race = raced(TIMES, PROFILES, out={"static", "static slow"})
    assert leaner(CANDIDATES, *race) == []


def test_only_static_int8_programs_that_tell_their_flow_have_layers_to_leave_out():
    onnx, pte = (UseRuntime.model_validate(kind) for kind in ("onnxruntime", "executorch"))
    static = UseTransform.model_validate("int8_static")
    assert can_leave_out(Form(onnx, static))
    assert not can_leave_out(Form(pte, static))
    assert not can_leave_out(Form(onnx, UseTransform.model_validate("int8_dynamic")))
    assert not can_leave_out(Form(onnx, None))
