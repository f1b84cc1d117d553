import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.core.quantity import Quantity
from edgekd.ops.statistics import share_interval
from edgekd.report.html import to_html
from edgekd.report.markdown import to_markdown
from edgekd.report.quantized import difference, time_ratio
from edgekd.report.sections.quantized import quantized_lines, quantized_table


def share(hits, count):
    return Quantity(hits / count, "share", *share_interval(hits, count), count)


@given(st.integers(0, 50), st.integers(0, 50))
def test_a_difference_lies_in_its_interval_and_turns_with_its_sides(one, other):
    change = difference(share(one, 50), share(other, 50))
    assert -1 <= change.low <= change.value <= change.high <= 1
    back = difference(share(other, 50), share(one, 50))
    assert (back.low, back.high) == pytest.approx((-change.high, -change.low))


def test_the_interval_of_a_difference_is_newcombes():
    change = difference(share(56, 70), share(48, 80))  # his table II, case (a), method 10
    assert (change.low, change.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_the_interval_of_a_difference_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = rng.binomial(300, (0.9, 0.85), (1500, 2))
    found = [difference(share(int(a), 300), share(int(b), 300)) for a, b in hits]
    assert 0.93 <= np.mean([one.low <= 0.05 <= one.high for one in found]) <= 0.975


def test_shares_without_intervals_have_a_difference_without_one():
    assert difference(Quantity(0.5, "share"), Quantity(0.4, "share")).low is None


def restarts(scale, count, speed):
    rng = np.random.default_rng(1)
    return [list(slow * scale * rng.lognormal(0, 0.02, 400)) for slow in speed[:count]]


def test_a_slow_restart_falls_on_both_sides_and_cancels():
    speed = [1.0, 3.0, 1.1, 2.0, 1.0]
    ratio = time_ratio(restarts(0.5, 5, speed), restarts(1.0, 5, speed))
    assert ratio.low == pytest.approx(0.5, rel=0.05)
    assert ratio.high == pytest.approx(0.5, rel=0.05)


def test_only_restarts_that_both_have_are_compared():
    speed = [1.0, 1.0, 1.0, 9.0, 9.0]
    ratio = time_ratio(restarts(0.5, 3, speed), restarts(1.0, 5, speed))
    assert ratio.value == pytest.approx(0.5, rel=0.02)
    assert ratio.n == 3


@pytest.mark.parametrize("samples", [[], [[1.0]]])
def test_what_was_not_timed_enough_has_no_ratio(samples):
    assert time_ratio(samples, restarts(1.0, 5, [1.0] * 5)) is None


def test_each_int8_candidate_stands_beside_its_fp32_parent(passing):
    (check,) = passing.checks
    rows = {row[0].text: [str(cell) for cell in row] for row in quantized_table(check, "cpu").rows}
    assert [row[1] for row in rows.values()] == ["recovered (fp32, onnxruntime)"] * 2
    assert rows["onnx"][2].startswith("0 pt [")
    assert rows["onnx"][2].endswith("(unpaired, so wider)")
    assert rows["pte"][2].startswith("-0.280 pt [")
    assert rows["onnx"][3] == f"{21_844 / 33_912:.3f}x"
    assert 0.55 < passing.checks[0].quantized[0].latency.value < 0.67
    for text in (to_html(passing), to_markdown(passing)):
        assert "What quantization changed on cpu, 360 test examples" in text


def test_a_parent_that_was_not_measured_is_named(make):
    report = make(along=("student",))
    assert not quantized_table(report.checks[0], "cpu").rows
    said = "what quantization cost is not known, as recovered was not measured in fp32"
    assert said in to_html(report)
    assert said in to_markdown(report)


def test_an_emulated_target_has_no_ratio_of_latencies(make):
    (check,) = make(targets=("qemu",), emulated=("qemu",), limits={}).checks
    assert [one.latency for one in check.quantized] == [None, None]
    assert "not taken in turns" in str(quantized_table(check, "qemu").rows[0][4])


def lines(check, **changed):
    one = check.quantized[0].model_copy(update=changed)
    return quantized_lines(check.model_copy(update={"quantized": [one]}), "cpu")


def test_a_quantization_that_is_slower_or_larger_does_not_pay(passing):
    (check,) = passing.checks
    assert lines(check) == []
    slower, larger = Quantity(1.2, "x", 1.1, 1.3), Quantity(1.5, "x")
    (said,) = lines(check, latency=slower)
    assert said.startswith("onnx: slower (1.20x [1.10, 1.30]) than recovered (fp32, onnxruntime)")
    assert said.endswith("a step that does not pay in latency.")
    assert "does not pay in latency and size" in lines(check, latency=slower, size=larger)[0]


def test_slower_within_the_interval_is_not_said(passing):
    assert lines(passing.checks[0], latency=Quantity(1.02, "x", 0.9, 1.1)) == []


@pytest.mark.parametrize(
    ("simulated", "reason"),
    [(-0.02, "the rounding itself costs it"), (-0.001, "the rounding alone does not"), (None, "")],
)
def test_more_than_half_a_point_lost_is_said_with_its_place(passing, simulated, reason):
    found = None if simulated is None else Quantity(simulated, "share_difference")
    (said,) = lines(
        passing.checks[0], accuracy=Quantity(-0.01, "share_difference"), simulated=found
    )
    assert "-1.00 pt of accuracy against recovered, more than 0.500 pt lost" in said
    assert reason in said
