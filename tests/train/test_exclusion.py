from hypothesis import given
from hypothesis import strategies as st

from edgekd.train.exclusion import least_excluded

COSTS = st.lists(st.integers(0, 20), min_size=1, max_size=40)


def search(costs, budget, base=0):
    """Search with layers whose costs add up; return what was chosen and how often was asked."""
    layers = {f"layer{place}": cost for place, cost in enumerate(costs)}
    asked = []

    def cost(excluded):
        return base + sum(cost for name, cost in layers.items() if name not in excluded)

    def fits(excluded):
        asked.append(tuple(excluded))
        return cost(excluded) <= budget

    ranked = sorted(layers, key=layers.__getitem__, reverse=True)
    return least_excluded(ranked, fits), cost, asked


@given(COSTS, st.integers(0, 300))
def test_the_choice_keeps_the_budget_and_needs_each_of_its_layers(costs, budget):
    chosen, cost, _ = search(costs, budget)
    assert cost(chosen) <= budget
    for path in chosen:
        assert cost([other for other in chosen if other != path]) > budget


@given(COSTS, st.integers(0, 300))
def test_where_costs_add_up_and_are_ranked_no_fewer_layers_would_do(costs, budget):
    chosen, *_ = search(costs, budget)
    fewest = next(
        n for n in range(len(costs) + 1) if sum(sorted(costs)[: len(costs) - n]) <= budget
    )
    assert len(chosen) == fewest


@given(COSTS)
def test_what_no_choice_can_keep_is_told_from_nothing_to_leave_out(costs):
    assert search(costs, budget=5, base=6)[0] is None
    assert search(costs, budget=sum(costs))[0] == ()


def test_bisection_asks_few_times():
    _, _, asked = search([100] + [1] * 63, budget=63)
    assert len(asked) <= 2 + 6
    assert len(set(asked)) == len(asked)


def test_a_layer_that_is_not_needed_is_put_back_even_where_it_ranks_first():
    needed = {"middle"}
    chosen = least_excluded(["worst", "middle", "best"], lambda out: needed <= set(out))
    assert chosen == ("middle",)
