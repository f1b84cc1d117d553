"""Successive halving keeps within its budget and gives the last round several seeds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.core.errors import RequestError
from edgekd.recommend.schedule import FINAL_SEEDS, FINALISTS, schedule


@given(
    methods=st.integers(1, 200),
    controls=st.integers(1, 3),
    budget=st.integers(0, 5000),
    full=st.integers(1, 60),
)
def test_rounds_are_fewer_and_never_dearer_than_the_budget(methods, controls, budget, full):
    try:
        rounds = schedule(methods, controls, budget, full)
    except RequestError:
        return
    assert sum(one.cost(controls) for one in rounds) <= budget
    sizes = [one.methods for one in rounds]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == methods
    assert rounds[-1].methods <= FINALISTS
    assert [one.seeds for one in rounds] == [1] * (len(rounds) - 1) + [FINAL_SEEDS]
    assert all(1 <= one.epochs <= full for one in rounds)


def test_half_of_it_is_for_the_last_round():
    *before, last = schedule(27, 2, 600, 100)
    assert [one.methods for one in [*before, last]] == [27, 9, 3]
    assert 250 < last.cost(2) <= 325
    assert all(100 < one.cost(2) <= 175 for one in before)


def test_what_whole_epochs_leave_is_for_the_last_round():
    rounds = schedule(26, 2, 160, 8)  # 64 for an epoch each: 24 and 24 of the other 96 are for two
    assert [one.epochs for one in rounds] == [1, 3, 3]
    assert [one.cost(2) for one in rounds] == [28, 33, 75]


def test_too_small_a_budget_says_how_large_it_must_be():
    with pytest.raises(RequestError) as error:
        schedule(4, 2, 10, 5)
    assert "4 losses to try beside 2 controls take 31 epochs" in str(error.value)
    assert "--budget 31epochs, or try fewer with --only" in str(error.value)
    assert sum(one.cost(2) for one in schedule(4, 2, 31, 5)) == 31
