from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.ops import statistics
from edgekd.ops.statistics import (
    early_stopping_estimate,
    least_n,
    mean_interval,
    paired_share_interval,
    quantile,
    quantile_interval,
    ratio_interval,
    share_interval,
    student_t,
)

RESTARTS = st.lists(
    st.lists(st.floats(0.1, 10), min_size=1, max_size=30).map(np.array), min_size=2, max_size=6
)


@pytest.mark.parametrize(
    ("percentile", "runs"), [(50, 11), (90, 64), (95, 130), (97, 219), (99, 662)]
)
def test_the_least_number_of_runs_is_that_of_mlperf_loadgen(percentile: int, runs: int) -> None:
    assert least_n(percentile) == runs


@pytest.mark.parametrize("percentile", [50, 90, 99])
@given(n=st.integers(2, 900))
@settings(max_examples=15)
def test_the_estimate_is_the_slowest_value_that_early_stopping_leaves(
    percentile: int, n: int
) -> None:
    values = np.random.default_rng(n).permutation(n).astype(float)
    slow = Fraction(100 - percentile, 100)
    total, most = Fraction(0), -1  # the most slow values that would be too few by chance alone
    while total + (now := _chance(n, most + 1, slow)) <= Fraction(1, 100):
        total, most = total + now, most + 1
    found = early_stopping_estimate(values, percentile)
    # of most slow values, one less are discarded: those with the ranks above the estimate
    assert found == (n - 1 - (most - 1) if most >= 1 else None)
    assert (found is None) == (n < least_n(percentile))


def _chance(n: int, count: int, share: Fraction) -> Fraction:
    return comb(n, count) * share**count * (1 - share) ** (n - count)


def test_the_estimate_of_millions_of_runs_is_found_though_no_chance_of_them_fits_a_float() -> None:
    found = early_stopping_estimate(np.arange(1_000_000.0))
    assert found is not None
    # a normal approximation of the binomial: 2.326 deviations below a tenth
    assert found == pytest.approx(900_000 + 2.326 * (1_000_000 * 0.09) ** 0.5, abs=5)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=40), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_quantile_is_the_first_value_that_enough_do_not_exceed(
    values: list[float], share: float
) -> None:
    found = quantile(np.array(values), share)
    enough = [
        v for v in sorted(values) if sum(w <= v for w in values) >= share * len(values) - 1e-9
    ]
    assert found == enough[0]


@given(RESTARTS, st.sampled_from([0.5, 0.9]))
def test_resampled_quantiles_are_those_of_the_pooled_draws(
    restarts: list[np.ndarray], share: float
) -> None:
    draws = np.random.default_rng(1).multinomial(
        len(restarts), np.full(len(restarts), 1 / len(restarts)), 5
    )
    found = statistics._resampled_quantiles(restarts, share, draws.astype(np.int64))
    for counts, value in zip(draws, found, strict=True):
        pooled = np.concatenate([np.tile(r, c) for r, c in zip(restarts, counts, strict=True)])
        assert value == quantile(pooled, share)


@given(RESTARTS, st.sampled_from([0.5, 0.9]))
def test_an_interval_holds_what_is_shown_and_moves_with_the_unit(
    restarts: list[np.ndarray], share: float
) -> None:
    low, high = quantile_interval(restarts, share) or (0, 0)
    assert low <= quantile(np.concatenate(restarts), share) <= high
    scaled = quantile_interval([r * 2 for r in restarts], share)
    assert scaled == pytest.approx((low * 2, high * 2))


@given(st.lists(st.floats(0.1, 10), min_size=2, max_size=5))
def test_few_restarts_get_students_interval_over_their_own_quantiles(middles: list[float]) -> None:
    restarts = [np.array([0.5, 1, 2]) * middle for middle in middles]
    low, high = quantile_interval(restarts, 0.5) or (0, 0)
    expected = np.exp(mean_interval(np.log(middles)))
    assert low <= expected[0] * (1 + 1e-9)
    assert high >= expected[1] * (1 - 1e-9)


def test_a_share_of_nothing_in_few_restarts_has_an_interval_too() -> None:
    assert quantile_interval([np.zeros(1)] * 3, 0.5) == (0, 0)
    low, high = quantile_interval([np.zeros(1), np.zeros(1), np.full(1, 0.3)], 0.5)
    assert low == 0
    assert high == pytest.approx(0.1 + 4.303 * 0.1)


def test_one_restart_gives_no_interval() -> None:
    assert quantile_interval([np.ones(50)], 0.5) is None
    assert ratio_interval([np.ones(50)], [np.ones(50)]) is None


@given(RESTARTS, st.floats(0.5, 4))
def test_what_slows_both_sides_of_a_pair_cancels(restarts: list[np.ndarray], factor: float) -> None:
    low, high = ratio_interval([r * factor for r in restarts], restarts) or (0, 0)
    assert low == pytest.approx(factor)
    assert high == pytest.approx(factor)


def test_restarts_that_do_not_pair_are_refused() -> None:
    with pytest.raises(ValueError, match="do not pair: 2 and 1"):
        ratio_interval([np.ones(3), np.ones(3)], [np.ones(3)])


@pytest.mark.parametrize(("restarts", "trials"), [(2, 1000), (3, 1000), (5, 1000), (8, 100)])
def test_intervals_hold_the_truth_as_often_as_they_say(restarts: int, trials: int) -> None:
    """What differs between restarts, and between the two sides of a pair, is lognormal."""
    rng = np.random.default_rng(restarts)
    hits = paired = 0
    for _ in range(trials):
        effects = rng.normal(0, 0.1, restarts)
        own = [np.exp(effect + rng.normal(0, 0.05, 30)) for effect in effects]
        other = [2 * np.exp(e + rng.normal(0, 0.1) + rng.normal(0, 0.05, 30)) for e in effects]
        low, high = quantile_interval(own, 0.5) or (0, 0)
        hits += low <= 1 <= high
        low, high = ratio_interval(other, own) or (0, 0)
        paired += low <= 2 <= high
    assert min(hits, paired) / trials >= 0.92


@given(st.integers(1, 500), st.data())
def test_a_share_lies_within_its_interval_and_the_interval_within_0_and_1(
    count: int, data: st.DataObject
) -> None:
    hits = data.draw(st.integers(0, count))
    low, high = share_interval(hits, count)
    assert 0 <= low <= hits / count <= high <= 1
    assert low < high


def test_wilsons_interval_solves_its_equation() -> None:
    low, high = share_interval(37, 120)
    for end in (low, high):  # |p - x| = z sqrt(x (1 - x) / n), with x the end
        assert abs(37 / 120 - end) == pytest.approx(
            1.959964 * (end * (1 - end) / 120) ** 0.5, rel=1e-5
        )


def test_no_observed_change_is_no_certainty() -> None:
    low, high = paired_share_interval(0, 0, 360)
    assert low == -high
    assert 0.005 < high < 0.01
    assert paired_share_interval(3, 8, 100) == tuple(
        -e for e in paired_share_interval(8, 3, 100)[::-1]
    )


def test_a_mean_of_any_values_has_students_interval() -> None:
    values = np.array([1.0, 2.0, 4.0])
    low, high = mean_interval(values)
    assert (low + high) / 2 == pytest.approx(values.mean())
    assert (high - low) / 2 == pytest.approx(4.303 * values.std(ddof=1) / 3**0.5)
    assert mean_interval(np.ones(1)) == (float("-inf"), float("inf"))


def test_students_quantiles_are_those_of_the_tables() -> None:
    tables = {1: 12.706, 4: 2.776, 10: 2.228, 20: 2.086, 60: 2.000}
    assert {n: pytest.approx(t, abs=4e-3) for n, t in tables.items()} == {
        n: student_t(n) for n in tables
    }
