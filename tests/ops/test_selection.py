"""Choosing what to label: what covers, what is undecided, what is even, by oracles and limits."""

import math
from collections import Counter
from itertools import combinations, pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgekd.ops.selection import (
    balanced,
    entropy,
    farthest_first,
    gradient_seeds,
    highest,
    margin,
)


def probs(count, classes=4, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return (3 * torch.randn(count, classes, generator=rng)).softmax(-1)


def naive(pool, taken, budget):
    """Return the picks with all distances computed anew at each."""
    centres, picks, radii = [row.double() for row in taken], [], []
    for _ in range(min(budget, len(pool))):
        best, far = -1, -1.0
        for row, point in enumerate(pool.double()):
            gap = min(math.dist(point, centre) for centre in centres)
            if row not in picks and gap > far:
                best, far = row, gap
        picks.append(best)
        radii.append(far)
        centres.append(pool[best].double())
    return picks, radii


@given(seed=st.integers(0, 2**16), taken=st.integers(1, 5), budget=st.integers(0, 14))
def test_it_picks_what_the_naive_computation_picks(seed, taken, budget):
    pool, labelled = probs(12, seed=seed), probs(taken, seed=seed + 1)
    found = farthest_first(pool, labelled, budget)
    picks, radii = naive(pool, labelled, budget)
    assert found.picks.tolist() == picks
    assert found.radii.tolist() == pytest.approx(radii)
    assert len({*picks}) == len(picks) == min(budget, 12)
    assert {*picks} <= {*range(12)}
    assert all(before >= after for before, after in pairwise(radii))
    assert max(radii, default=0) <= math.sqrt(2)


def test_duplicates_of_what_is_taken_are_left_while_a_distinct_point_remains():
    labelled = probs(3)
    pool = torch.cat([labelled, probs(4, seed=9), labelled])
    found = farthest_first(pool, labelled, 10)
    assert {*found.picks[:4].tolist()} == {3, 4, 5, 6}
    assert found.picks[4:].tolist() == [0, 1, 2, 7, 8, 9]
    assert not found.radii[4:].any()


@given(seed=st.integers(0, 2**16))
def test_the_order_of_classes_and_of_the_pool_is_no_matter(seed):
    pool, labelled = probs(15, seed=seed), probs(3, seed=seed + 1)
    rng = torch.Generator().manual_seed(seed)
    columns, rows = torch.randperm(4, generator=rng), torch.randperm(15, generator=rng)
    own = farthest_first(pool, labelled, 6).picks
    assert torch.equal(farthest_first(pool[:, columns], labelled[:, columns], 6).picks, own)
    assert torch.equal(rows[farthest_first(pool[rows], labelled, 6).picks], own)


@given(seed=st.integers(0, 2**16), centres=st.integers(1, 4))
def test_its_largest_distance_is_at_most_twice_the_least_possible(seed, centres):
    pool = probs(8, 3, seed).double()
    apart = torch.cdist(pool, pool)
    best = min(apart[:, [*own]].amin(1).max() for own in combinations(range(8), centres))
    found = farthest_first(pool, pool[:0], centres).picks
    assert apart[:, found].amin(1).max() <= 2 * best + 1e-9


def test_where_nothing_is_taken_it_begins_farthest_from_the_mean():
    pool = torch.tensor([[0.5, 0.5], [0.6, 0.4], [0.0, 1.0], [0.7, 0.3]])
    found = farthest_first(pool, pool[:0], 3)
    assert found.picks.tolist() == [2, 3, 0]
    assert math.isinf(found.radii[0])


def test_directions_are_covered_as_by_cosine():
    points = torch.nn.functional.normalize(torch.randn(30, 5, generator=torch.manual_seed(0)))
    left, centres, picks = points[4:], points[:4], []
    for _ in range(10):
        nearest = (left @ torch.cat([centres, left[picks]]).T).amax(1)
        nearest[picks] = 2
        picks.append(int(nearest.argmin()))
    assert farthest_first(left, centres, 10).picks.tolist() == picks


def test_a_pick_costs_one_pass_over_the_pool(monkeypatch):
    from edgekd.ops import selection

    seen, distance = [], selection._distance
    monkeypatch.setattr(
        selection, "_distance", lambda *own: seen.append(len(own[0])) or distance(*own)
    )
    farthest_first(probs(50), probs(3), 7)
    assert seen == [50] * 10


def test_the_least_decided_come_first_and_equal_ones_in_their_order():
    said = torch.tensor([[0.98, 0.01, 0.01], [0.5, 0.5, 0.0], [0.4, 0.3, 0.3], [0.5, 0.5, 0.0]])
    by_hand = [-sum(p * math.log(p) for p in row if p) for row in said.tolist()]
    assert entropy(said).tolist() == pytest.approx(by_hand)
    assert highest(entropy(said), 9).tolist() == [2, 1, 3, 0]
    assert margin(said).tolist() == pytest.approx([-0.97, 0, -0.1, 0])
    assert highest(margin(said), 3).tolist() == [1, 3, 2]


def test_classes_come_to_be_as_even_as_the_pool_allows():
    classes = torch.tensor([0] * 6 + [1] * 6 + [2] * 2 + [3] * 6)

    def counts(before, budget, seed=0):
        rng = torch.Generator().manual_seed(seed)
        picks = balanced(classes, torch.tensor(before), budget, rng)
        assert len({*picks.tolist()}) == len(picks) == min(budget, 20)
        return Counter(classes[picks].tolist())

    assert counts([0, 0, 0, 0], 4) == dict.fromkeys(range(4), 1)
    assert counts([3, 0, 0, 1], 7) == {1: 3, 2: 2, 3: 2}  # class 2 has no more
    assert counts([0, 0, 0, 0], 99) == Counter(classes.tolist())
    assert len({tuple(sorted(counts([0] * 4, 2, seed))) for seed in range(20)}) > 2
    assert counts([0, 0, 0, 0], 3, seed=5) == counts([0, 0, 0, 0], 3, seed=5)


def embedding(said, features):
    rows = said.double() - torch.nn.functional.one_hot(said.argmax(-1), said.shape[-1])
    return (rows[:, :, None] * features.double()[:, None]).flatten(1)


def test_gradient_seeds_follow_kmeans_plus_plus_on_the_embeddings_written_out(monkeypatch):
    from edgekd.ops import selection

    said, features = probs(9, 3), torch.randn(9, 5, generator=torch.manual_seed(1))
    gradient = embedding(said, features)
    weights, drawn = [], selection._drawn
    monkeypatch.setattr(
        selection, "_drawn", lambda own, rng: weights.append(own.clone()) or drawn(own, rng)
    )
    picks = gradient_seeds(said, features, 6, torch.Generator().manual_seed(0)).tolist()
    assert picks[0] == gradient.norm(dim=1).argmax()
    assert len({*picks}) == 6
    for number, own in enumerate(weights, 1):
        wanted = torch.cdist(gradient, gradient[picks[:number]]).amin(1).square()
        torch.testing.assert_close(own, wanted, rtol=1e-6, atol=1e-9)


def test_gradient_seeds_are_drawn_with_the_chance_of_their_weight():
    weights = torch.tensor([0.0, 1.0, 0.0, 3.0, 0.0], dtype=torch.float64)
    from edgekd.ops.selection import _drawn

    rng = torch.Generator().manual_seed(0)
    found = Counter(_drawn(weights, rng) for _ in range(2000))
    assert {*found} == {1, 3}
    assert found[3] / 2000 == pytest.approx(0.75, abs=0.03)


def test_gradient_seeds_of_equal_embeddings_are_still_different_rows():
    said, features = probs(1).expand(5, -1), torch.ones(5, 2)
    found = gradient_seeds(said, features, 9, torch.Generator().manual_seed(0))
    assert sorted(found.tolist()) == [0, 1, 2, 3, 4]
