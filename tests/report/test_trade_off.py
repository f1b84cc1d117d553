from hypothesis import given
from hypothesis import strategies as st

from edgekd.core.quantity import Quantity
from edgekd.core.results import Gate
from edgekd.report.trade_off import trade_off

POINT = st.tuples(st.integers(1, 9), st.integers(1, 9))


def measured(points):
    return {
        f"p{i}": {
            "latency_p50_ms": Quantity(float(x), "ms"),
            "latency_p90_ms": Quantity(2.0 * x, "ms"),
            "accuracy": Quantity(y / 10, "share"),
        }
        for i, (x, y) in enumerate(points)
    }


def gate(name, limit):
    return Gate(
        name=name, limit=limit, program="p1", target="cpu", measured=None, verdict="pass", reason=""
    )


@given(st.lists(POINT, min_size=2, max_size=12))
def test_a_point_is_on_the_front_unless_another_is_as_good_in_both_and_better_in_one(points):
    picture = trade_off("cpu", measured(points), [], "p0")
    for point, (x, y) in zip(picture.points, points, strict=True):
        beaten = any((a <= x and b >= y) and (a < x or b > y) for a, b in points)
        assert point.on_front is not beaten


def test_the_budget_is_the_strictest_limit_of_the_gates():
    gates = [gate("latency_p90_ms", "<= 5"), gate("latency_p90_ms", "<= 4")]
    gates += [gate("accuracy_drop", "<= 0.1"), gate("accuracy", ">= 0.2")]
    picture = trade_off("cpu", measured([(1, 9), (2, 8)]), gates, "p0")
    assert picture.latency_name == "latency_p90_ms"
    assert picture.latency_limit_ms == 4
    assert abs(picture.quality_floor - 0.8) < 1e-9


def test_one_program_has_no_trade_off():
    assert trade_off("cpu", measured([(1, 1)]), [], "p0") is None
