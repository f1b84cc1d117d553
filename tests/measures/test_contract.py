import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.core.quantity import Quantity
from edgekd.measures.contract import check_gate, read_limit, terms
from edgekd.measures.verdict import judge, limits_on

NAMES = [
    "accuracy",
    "accuracy_drop",
    "agreement",
    "ece",
    "latency_p50_ms",
    "latency_p90_ms",
    "latency_p95_ms",
    "latency_p97_ms",
    "latency_p99_ms",
    "load_ms",
    "first_ms",
    "peak_rss_mib",
    "size_mib",
    "speedup",
    "size_ratio",
]


def test_everything_that_can_be_demanded_is_known_before_anything_is_measured() -> None:
    assert set(NAMES) <= set(terms())


@given(st.sampled_from(["<=", "<", ">=", ">"]), st.floats(-1e6, 1e6, allow_subnormal=False))
def test_a_limit_says_its_relation_and_number(relation: str, value: float) -> None:
    limit = read_limit(f" {relation}{value!r} ")
    assert (limit.relation, limit.value) == (relation, value)


@pytest.mark.parametrize(
    "text", ["5", "= 5", "<= five", "<= 5 ms", "<= 5%", "", "<= nan", 5, None, True]
)
def test_anything_else_is_no_limit(text: object) -> None:
    with pytest.raises(ValueError, match="expected <=, <, >= or > and a number"):
        read_limit(text)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("agreement", ">= 1.5", "between 0 and 1"),
        ("agreement", "> 1", "a number below 1."),
        ("agreement", ">= 1", "its interval always reaches beyond 1. Give a number below 1."),
        ("accuracy", ">= 1.0", "estimated from examples"),
        ("accuracy", ">= 100", "a number below 1."),
        ("accuracy_drop", "<= -1", "Give a number above -1."),
        ("ece", "<= 0", "Give a number above 0."),
        ("accuracy", ">= 95", '">= 0.95"'),
        ("accuracy", "<= 0.5", "refuse a program for being good"),
        ("accuracy_drop", "<= -2", "a number above -1."),
        ("latency_p50_ms", "<= 0", "above 0"),
        ("latency_p50_ms", ">= 5", '"<= 5"'),
        ("ece", "< 0", "a number above 0."),
        ("speedup", "<= 2", '">= 2"'),
        ("latncy_p50_ms", "<= 5", "Did you mean 'latency_p50_ms'"),
    ],
)
def test_a_limit_that_nothing_could_keep_is_refused_with_the_nearest_that_can(
    name: str, text: str, said: str
) -> None:
    with pytest.raises(ValueError, match=r"\S") as refused:
        check_gate(name, text)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("accuracy", ">= 0.999"),
        ("accuracy_drop", "<= -0.5"),
        ("accuracy_drop", "<= 0"),
        ("accuracy_drop", "<= 0.99"),
        ("latency_p99_ms", "< 0.001"),
        ("speedup", ">= 4"),
        ("ece", "<= 0.001"),
    ],
)
def test_a_strict_limit_is_a_limit(name: str, text: str) -> None:
    assert check_gate(name, text).text == text


INTERVAL = st.tuples(st.floats(-9, 9), st.floats(-9, 9)).map(sorted)


@given(INTERVAL, st.floats(-9, 9), st.sampled_from(["<=", "<", ">=", ">"]))
def test_a_verdict_is_that_of_every_value_in_the_interval(
    ends: list[float], value: float, relation: str
) -> None:
    low, high = ends
    keeps = {"<=": float.__le__, "<": float.__lt__, ">=": float.__ge__, ">": float.__gt__}[relation]
    verdict = read_limit(f"{relation} {value!r}").judge(Quantity(low, "ms", low, high, 5))
    kept = {keeps(low, value), keeps(high, value)}
    assert verdict == ("inconclusive" if len(kept) == 2 else "pass" if kept == {True} else "fail")


def test_an_exact_value_is_judged_and_one_restart_is_not() -> None:
    assert read_limit("<= 5").judge(Quantity(5.0, "MiB")) == "pass"
    assert read_limit("<= 5").judge(Quantity(6.0, "MiB")) == "fail"
    assert read_limit("<= 5").judge(Quantity(1.0, "ms", n=40)) == "inconclusive"


def verdict(name: str, quantities: dict[str, Quantity], objection: str = "") -> tuple[str, str]:
    gate = judge(
        name,
        read_limit("<= 5"),
        program="p",
        target="t",
        quantities=quantities,
        evidence={"latencies_ms": [[1.0] * 20], "restarts": []},
        objection=objection,
    )
    return gate.verdict, gate.reason


def test_a_percentile_that_was_refused_says_how_many_runs_it_needs() -> None:
    assert verdict("latency_p99_ms", {})[0] == "inconclusive"
    assert "needs 662 runs and rests on 20" in verdict("latency_p99_ms", {})[1]


def test_a_speedup_over_too_few_runs_says_how_many_it_needs() -> None:
    evidence = {"latencies_ms": [[1.0] * 5] * 2, "reference_latencies_ms": [[1.0] * 5] * 2}
    gate = judge(
        "speedup", read_limit(">= 2"), program="p", target="t", quantities={}, evidence=evidence
    )
    assert gate.verdict == "inconclusive"
    assert "the 50th percentile needs 11 runs and rests on 10" in gate.reason


def test_an_objection_keeps_timed_gates_open_and_no_others() -> None:
    found = {"load_ms": Quantity(1.0, "ms", 1.0, 1.0, 3), "size_mib": Quantity(1.0, "MiB")}
    assert verdict("load_ms", found, "it drifted") == ("inconclusive", "it drifted")
    assert verdict("size_mib", found, "it drifted")[0] == "pass"


def test_a_limit_may_hold_on_one_target_only() -> None:
    gates = {"load_ms": {"pi": "<= 5"}, "ece": "<= 0.1", "first_ms": "<= 9"}
    assert set(limits_on(gates, "pi")) == {"load_ms", "ece", "first_ms"}
    assert set(limits_on(gates, "cpu")) == {"ece", "first_ms"}
    assert set(limits_on(gates, "pi", exempt=True)) == {"load_ms", "ece"}
