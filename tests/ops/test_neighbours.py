"""Nearness by cosine: the same numbers as loops over pairs, in parts or at once."""

from math import sqrt

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgekd.ops import neighbours
from edgekd.ops.neighbours import nearer_than_answer, nearer_than_nearest, rank_correlation

SEEDS = st.integers(0, 2**16)


def spaces(seed, count=9):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, 4, generator=rng), torch.randn(count, 6, generator=rng)


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def nearness(space):
    return [[cosine(a, b) for b in space.tolist()] for a in space.tolist()]


@given(SEEDS)
def test_what_lies_nearer_than_the_answer_is_counted_pair_by_pair(seed):
    space, _ = spaces(seed)
    ids = torch.arange(20, 29)
    answers = torch.tensor([28, -1, 21, -1, 23, -1, 25, 28, -1])
    near, row = nearness(space), {int(i): n for n, i in enumerate(ids)}
    pool = [n for n in range(9) if answers[n] < 0]
    slow = [
        sum(near[n][m] > near[n][row[int(a)]] for m in pool)
        for n, a in enumerate(answers)
        if a >= 0
    ]
    assert nearer_than_answer(space, ids, answers).tolist() == slow


def test_a_space_in_which_all_is_one_point_finds_nothing():
    answers = torch.tensor([4, 5, 6, 7, -1, -1, -1, -1])
    found = nearer_than_answer(torch.ones(8, 3), torch.arange(8), answers)
    assert found.tolist() == [3.0] * 4


@pytest.mark.parametrize("lost", ["query", "answers", "all"])
def test_what_is_not_a_number_finds_nothing(lost):
    space = torch.eye(8)
    space[{"query": slice(0, 4), "answers": slice(4, 8), "all": slice(0, 8)}[lost]] = torch.nan
    answers = torch.tensor([4, 5, 6, 7, -1, -1, -1, -1])
    assert nearer_than_answer(space, torch.arange(8), answers).tolist() == [3.0] * 4
    if lost == "all":
        assert (nearer_than_nearest(space, torch.eye(8)) >= 6).all()


def test_an_answer_that_is_not_there_is_an_error():
    with pytest.raises(ValueError, match="not among"):
        nearer_than_answer(torch.eye(3), torch.arange(3), torch.tensor([2, 2, 9]))


@given(SEEDS)
def test_what_lies_nearer_than_the_nearest_is_counted_pair_by_pair(seed):
    student, teacher = spaces(seed)
    ours, theirs = nearness(student), nearness(teacher)
    slow = []
    for n in range(9):
        others = [m for m in range(9) if m != n]
        nearest = max(others, key=lambda m: theirs[n][m])
        slow.append(sum(ours[n][m] > ours[n][nearest] for m in others))
    assert nearer_than_nearest(student, teacher).tolist() == slow


@given(SEEDS)
def test_rank_correlation_is_spearmans_formula_for_distinct_ranks(seed):
    student, teacher = spaces(seed)
    ours, theirs = nearness(student), nearness(teacher)
    slow = []
    for n in range(9):
        others = [m for m in range(9) if m != n]
        ranks = [sorted(others, key=lambda m: side[n][m]) for side in (ours, theirs)]
        gaps = sum((ranks[0].index(m) - ranks[1].index(m)) ** 2 for m in others)
        slow.append(1 - 6 * gaps / (8 * (64 - 1)))
    found = rank_correlation(student, teacher, 100)
    torch.testing.assert_close(found, torch.tensor(slow), rtol=0, atol=1e-5)


@given(SEEDS)
def test_turning_and_stretching_a_space_changes_no_rank(seed):
    space, _ = spaces(seed)
    turn = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(seed)))[0]
    moved = 3 * space @ turn
    assert rank_correlation(moved, space, 100).min() > 0.999
    assert nearer_than_nearest(moved, space).max() == 0


def test_what_is_asked_in_parts_is_what_is_asked_at_once(monkeypatch):
    student, teacher = spaces(0, 50)
    answers = torch.where(torch.arange(50) < 25, torch.arange(50) + 25, -1)
    asked = (
        lambda: nearer_than_answer(student, torch.arange(50), answers),
        lambda: nearer_than_nearest(student, teacher),
        lambda: rank_correlation(student, teacher, 20),
    )
    whole = [ask() for ask in asked]
    monkeypatch.setattr(neighbours, "ROWS", 7)
    for before, ask in zip(whole, asked, strict=True):
        torch.testing.assert_close(ask(), before)


def test_more_examples_than_are_compared_are_compared_with_evenly_spaced_ones():
    student, teacher = spaces(1, 41)
    chosen = torch.arange(0, 41, 4)
    rest = torch.ones(41, dtype=torch.bool).index_fill(0, chosen, False)
    found = rank_correlation(student, teacher, len(chosen))
    each = [
        rank_correlation(*(torch.cat([s[n : n + 1], s[chosen]]) for s in (student, teacher)), 99)[0]
        for n in torch.arange(41)[rest]
    ]
    torch.testing.assert_close(found[rest], torch.stack(each))
