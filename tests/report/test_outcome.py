import pytest

from edgekd.core.quantity import Quantity
from edgekd.core.results import MeasuredProgram, MeasuredTarget, Measurement, Measurements
from edgekd.report.outcome import compared, faster, outcome

P90 = {"latency_p90_ms": Quantity(1.5, "ms", 1.4, 1.6, 900)}


def ratio(value: float, low: float, high: float) -> dict[str, Quantity]:
    return P90 | {"speedup": Quantity(value, "x", low, high, 900)}


def measured(name: str, quantities: dict[str, Quantity], *, valid: bool = True) -> Measurement:
    return Measurement(program=name, target="pi", quantities=quantities, restarts=[], samples="",
                       valid=valid, notes=[])  # fmt: skip


def found(*measurements: Measurement, reference: str = "", examples: int = 0) -> Measurements:
    return Measurements(
        reference=reference, split="", examples=examples, quality=[], gates=[],
        targets=[MeasuredTarget(name="pi", description="", emulated=False, machine={},
                                measured_at="")],
        programs=[
            MeasuredProgram(
                name=m.program, role="reference" if m.program == reference else "candidate",
                runtime="onnxruntime", precision="as given", file="", size_bytes=1, digest="",
            )
            for m in measurements
        ],
        measurements=list(measurements),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("quantity", "said"),
    [
        (Quantity(1.2, "x", 1.1, 1.3), "faster"),
        (Quantity(0.8, "x", 0.7, 0.9), "slower"),
        (Quantity(1.2, "x", 0.9, 1.3), "no difference shown"),
        (Quantity(1.02, "x", 1.004, 1.03), "no difference shown"),
        (Quantity(0.98, "x", 0.97, 0.996), "no difference shown"),
        (Quantity(2.0, "x"), "not compared"),
        (None, "not compared"),
    ],
)
def test_faster_is_said_where_the_interval_as_it_is_shown_lies_beyond_1(quantity, said):
    assert faster(quantity) == said


def test_the_comparison_names_both_programs_and_the_ratio():
    one, other = measured("a", ratio(1.2, 1.1, 1.3)), measured("b", P90)
    assert compared(one, other) == "a is faster than b: 1.20x [1.10, 1.30] as fast"
    slow = measured("a", ratio(0.5, 0.4, 0.6))
    assert compared(slow, other) == "a is slower than b: 0.500x [0.400, 0.600] as fast"


@pytest.mark.parametrize("which", [0, 1])
def test_no_comparison_is_made_where_either_is_not_valid(which):
    pair = [measured("a", ratio(1.2, 1.1, 1.3), valid=which != 0),
            measured("b", P90, valid=which != 1)]  # fmt: skip
    assert compared(*pair) == "No valid comparison of a and b"


def test_the_headline_is_the_latency_of_one_and_the_comparison_of_two():
    one, other = measured("a", ratio(1.2, 1.1, 1.3)), measured("b", P90)
    assert outcome([found(one)]) == "Latency p90 1.50 ms [1.40, 1.60] on pi"
    assert outcome([found(other, one, reference="b")]).startswith("a is faster than b: 1.20x")
    assert outcome([found(measured("a", P90, valid=False))]) == "Not a valid measurement on pi"
    assert outcome([found(measured("a", {}))]) == "Too few runs on pi"


def test_a_model_that_could_not_be_measured_is_named():
    lost = measured("a", {}, valid=False).model_copy(update={"failure": "hung\nand hung"})
    assert outcome([found(lost)]) == "a could not be measured on pi"


def test_where_examples_were_scored_it_says_nothing():
    assert outcome([found(measured("a", P90), examples=5)]) == ""
