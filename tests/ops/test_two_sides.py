from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.ops.two_sides import least_cost

THINGS = "abcde"
PRICE = st.integers(0, 9).map(float)


def cost(first, costs, apart):
    own = sum(costs[thing][thing not in first] for thing in costs)
    return own + sum(price for (a, b), price in apart.items() if (a in first) != (b in first))


@given(
    costs=st.fixed_dictionaries({thing: st.tuples(PRICE, PRICE) for thing in THINGS}),
    apart=st.dictionaries(st.sampled_from([*combinations(THINGS, 2)]), PRICE),
)
def test_no_other_choice_costs_less_and_none_as_cheap_is_smaller(costs, apart):
    found = least_cost(costs, apart)
    choices = [set(some) for size in range(6) for some in combinations(THINGS, size)]
    least = min(cost(some, costs, apart) for some in choices)
    assert cost(found, costs, apart) == pytest.approx(least)
    assert len(found) == min(len(some) for some in choices if cost(some, costs, apart) == least)


def test_what_is_dear_to_part_stays_together():
    costs = {"a": (0.0, 5.0), "b": (3.0, 1.0), "c": (9.0, 0.0)}
    assert least_cost(costs, {}) == {"a"}
    assert least_cost(costs, {("a", "b"): 4.0}) == {"a", "b"}
    assert least_cost(costs, {("a", "b"): 6.0, ("b", "c"): 4.0}) == set()
