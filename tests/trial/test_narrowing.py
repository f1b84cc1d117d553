from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from pytest import approx  # noqa: PT013

from edgekd.trial.narrowing import CLOSE, FINEST, falling, standing

values = st.lists(st.floats(0.01, 10), min_size=1, max_size=12)


@given(values)
def test_the_nearest_falling_sequence_falls_keeps_the_sum_and_is_itself_when_fitted_again(given_):
    fitted = falling(given_)
    assert all(a >= b for a, b in pairwise(fitted))
    assert sum(fitted) == approx(sum(given_))
    assert falling(fitted) == approx(fitted)


def test_only_what_rises_is_pooled():
    assert falling([9, 4, 6, 2, 3, 1]) == [9, 5, 5, 2.5, 2.5, 1]


def narrowed(time, limit, most=0.9):
    """Return the share that is found, and how many were measured."""
    times = {0.0: time(0.0), most: time(most)}
    while (now := standing(times, limit)).following is not None:
        times[now.following] = time(now.following)
        assert len(times) < 60
    return now.best, len(times) - 1


@given(limit=st.floats(0.35, 0.99), bend=st.floats(0.7, 3))
def test_a_smooth_time_is_met_closely_in_a_few_measurements(limit, bend):
    def time(share):
        return 1 - 0.9 * share**bend

    best, measured = narrowed(time, limit)
    assert (1 - CLOSE) * limit <= time(best) <= limit
    assert measured <= 12


@given(limit=st.floats(0.3, 0.99), steps=st.integers(2, 9))
def test_of_a_time_in_steps_the_least_share_below_the_limit_is_found(limit, steps):
    def time(share):
        return 1 - int(share * steps) / steps * 0.9

    best, _ = narrowed(time, limit, most=1.0)
    slow = min(k / steps for k in range(steps + 1) if time(k / steps + 1e-9) <= limit)
    near = time(best) >= (1 - CLOSE) * limit
    assert time(best) <= limit
    assert near or slow <= best <= slow + FINEST + 1e-9


def test_where_nothing_keeps_the_limit_there_is_no_best():
    now = standing({0.0: 1.0, 0.9: 0.4}, 0.3)
    assert now.best is None
    assert now.following is None
