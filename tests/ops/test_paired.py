"""The paired t-test and Holm's correction, against slow oracles and printed tables."""

from itertools import combinations
from math import gamma, pi, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.ops.paired import holm, paired_t, t_tails

SCORES = st.lists(st.floats(-1, 1), min_size=2, max_size=12)
PROBABILITIES = st.lists(st.floats(0, 1), max_size=6)

# two-sided 5 % and 1 % points of Student's t, from any printed table
TABLE = {1: (12.706, 63.657), 2: (4.303, 9.925), 3: (3.182, 5.841), 4: (2.776, 4.604),
         5: (2.571, 4.032), 8: (2.306, 3.355), 9: (2.262, 3.250), 30: (2.042, 2.750)}  # fmt: skip


@pytest.mark.parametrize("freedom", TABLE)
def test_tails_are_those_of_the_tables(freedom):
    five, one = TABLE[freedom]
    assert t_tails(five, freedom) == pytest.approx(0.05, rel=2e-3)
    assert t_tails(-one, freedom) == pytest.approx(0.01, rel=2e-3)
    assert t_tails(0.0, freedom) == 1


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 20])
@pytest.mark.parametrize("t", [0.3, 1.0, 2.5, 6.0])
def test_tails_are_the_area_under_the_density(freedom, t):
    x = np.linspace(0, t, 200_001)
    constant = gamma((freedom + 1) / 2) / (sqrt(freedom * pi) * gamma(freedom / 2))
    inside = np.trapezoid(constant * (1 + x**2 / freedom) ** (-(freedom + 1) / 2), x)
    assert t_tails(t, freedom) == pytest.approx(1 - 2 * inside, abs=1e-9)


def test_a_paired_test_is_that_of_the_textbook():
    before = [12.9, 13.5, 12.8, 15.6, 17.2, 19.2, 12.6, 15.3, 14.4, 11.3]
    after = [12.7, 13.6, 12.0, 15.2, 16.8, 20.0, 12.0, 15.9, 16.0, 11.1]
    found = paired_t(before, after)  # R's t.test: t = -0.21331, df = 9, p-value = 0.8358
    assert found.p == pytest.approx(0.8358, abs=5e-5)
    assert found.mean == pytest.approx(-0.05)
    assert found.interval == pytest.approx((-0.5802549, 0.4802549), abs=5e-4)


@given(SCORES, st.randoms(use_true_random=False), st.floats(-1, 1))
def test_what_both_sides_share_changes_nothing(ones, random, shift):
    others = [random.uniform(-1, 1) for _ in ones]
    found, moved = paired_t(ones, others), paired_t([v + shift for v in ones],
                                                    [v + shift for v in others])  # fmt: skip
    assert moved.mean == pytest.approx(found.mean, abs=1e-9)
    assert (moved.p is None) == (found.p is None)
    swapped = paired_t(others, ones)
    assert swapped.mean == -found.mean
    assert swapped.p == found.p


@given(SCORES)
def test_the_interval_holds_0_where_the_test_shows_nothing(ones):
    found = paired_t(ones, [0.0] * len(ones))
    if found.p is not None and abs(found.p - 0.05) > 1e-3:
        low, high = found.interval
        assert (low <= 0 <= high) == (found.p > 0.05)


def test_one_pair_and_equal_differences_have_no_test():
    one = paired_t([0.9], [0.8])
    assert (one.interval, one.p, one.pairs) == (None, None, 1)
    same = paired_t([0.9, 0.8, 0.7], [0.8, 0.7, 0.6])
    assert (same.p, same.pairs) == (None, 3)


@given(st.integers(2, 6), st.integers(0, 1000))
def test_under_no_difference_small_p_values_are_as_rare_as_they_say(count, seed):
    rng = np.random.default_rng(seed)
    draws = rng.normal(size=(400, count))
    found = [paired_t(row, [0.0] * count).p for row in draws.tolist()]
    assert np.mean([p < 0.05 for p in found]) < 0.1
    assert np.mean(found) == pytest.approx(0.5, abs=0.1)


@given(PROBABILITIES)
def test_holms_correction_is_the_closed_test_over_all_subsets(values):
    """A hypothesis falls where Bonferroni rejects every set of hypotheses that it is in."""
    slow = [
        max(
            (
                min(1.0, len(chosen) * min(values[i] for i in chosen))
                for size in range(1, len(values) + 1)
                for chosen in combinations(range(len(values)), size)
                if index in chosen
            ),
        )
        for index in range(len(values))
    ]
    assert holm(values) == pytest.approx(slow)


@given(PROBABILITIES)
def test_holms_correction_keeps_the_order_and_never_helps(values):
    corrected = holm(values)
    assert all(v <= c <= 1 for v, c in zip(values, corrected, strict=True))
    assert sorted(values) == [v for _, v in sorted(zip(corrected, values, strict=True))]
