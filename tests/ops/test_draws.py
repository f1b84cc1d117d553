"""Chance that belongs to an example."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betainc

from edgekd.core.seeds import sub_seed
from edgekd.ops.draws import Draws

WORD = 2**64


def splitmix(seed, place):
    """SplitMix64 as its authors write it, its `place`-th number from 1."""
    z = (seed + place * 0x9E3779B97F4A7C15) % WORD
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % WORD
    return z ^ (z >> 31)


def finalized(value):
    return splitmix(value - 0x9E3779B97F4A7C15, 1)


@given(seed=st.integers(0, 2**40), view=st.integers(0, 9), ids=st.lists(st.integers(0, 2**31)))
def test_each_number_is_splitmix64s_at_its_place(seed, view, ids):
    stream = sub_seed(seed, "view", view)
    draws = Draws(seed, view, torch.tensor(ids, dtype=torch.int64))
    found = torch.cat([draws.uniform(2), draws.uniform(1)], 1).tolist()
    for example, row in zip(ids, found, strict=True):
        own = finalized(finalized(example * 0x9E3779B97F4A7C15 + stream) + stream)
        assert row == [(splitmix(own, place) >> 40) / 2**24 for place in (1, 2, 3)]


@given(order=st.permutations(range(12)), cut=st.integers(1, 11))
def test_what_stands_beside_an_example_does_not_matter(order, cut):
    whole = Draws(3, 1, torch.arange(12))
    first = (whole.uniform(2, 3), whole.integers(9))
    some = torch.tensor(order[:cut])
    part = Draws(3, 1, some)
    assert torch.equal(part.uniform(2, 3), first[0][some])
    assert torch.equal(part.integers(9), first[1][some])


def test_seed_view_example_call_and_split_each_give_other_numbers():
    ids = torch.arange(50)
    draws = Draws(0, 0, ids)
    drawn = [draws.uniform(), draws.uniform(), Draws(1, 0, ids).uniform()]
    drawn += [Draws(0, 1, ids).uniform(), Draws(0, 0, ids + 50).uniform()]
    drawn += [part.uniform() for part in Draws(0, 0, ids).split(2)]
    numbers = torch.cat(drawn)
    assert len(numbers.unique()) == len(numbers)


def test_numbers_are_even_and_do_not_hang_together():
    draws = Draws(5, 0, torch.arange(20_000))
    x, y, later = draws.uniform(), draws.uniform(), Draws(5, 1, torch.arange(20_000)).uniform()
    assert 0 <= x.min() < 0.001
    assert 0.999 < x.max() < 1
    assert torch.allclose(x.histc(10, 0, 1) / 20_000, torch.full((10,), 0.1), atol=0.01)
    together = torch.stack([x[:-1], x[1:], y[1:], later[1:]]).corrcoef().fill_diagonal_(0)
    assert together.abs().max() < 0.03


@given(high=st.integers(1, 2**31 - 1))
def test_integers_stay_below_their_bound(high):
    found = Draws(1, 0, torch.arange(64)).integers(high, 2)
    assert found.shape == (64, 2)
    assert 0 <= found.min() <= found.max() < high


def test_every_integer_comes_about_as_often():
    counts = Draws(2, 0, torch.arange(30_000)).integers(6).bincount()
    assert counts.min() > 4_700
    assert counts.max() < 5_300


@pytest.mark.parametrize("high", [0, -1, 2**31])
def test_a_bound_that_makes_no_sense_is_refused(high):
    with pytest.raises(ValueError, match=f"integers below {high} cannot be drawn"):
        Draws(0, 0, torch.arange(2)).integers(high)


@pytest.mark.parametrize("alpha", [0.4, 1.0, 2.5, 400.0])
def test_symmetric_beta_has_the_quantiles_of_its_distribution(alpha):
    drawn = Draws(2, 0, torch.arange(20_000)).symmetric_beta(alpha).double().sort().values
    wanted = betainc(alpha, alpha, drawn.numpy())
    apart = np.abs(wanted - (np.arange(20_000) + 0.5) / 20_000).max()
    assert apart < 1.95 / 20_000**0.5  # Kolmogorov's bound at one in a thousand


def test_symmetric_beta_that_is_almost_all_or_nothing_stays_in_its_range():
    drawn = Draws(2, 0, torch.arange(20_000)).symmetric_beta(0.01)
    assert drawn.isfinite().all()
    assert 0 <= drawn.min() <= drawn.max() <= 1
    assert 0.49 < drawn.mean() < 0.51
    assert ((drawn > 0.1) & (drawn < 0.9)).float().mean() < 0.05


def test_symmetric_beta_of_an_example_is_its_own():
    whole = Draws(3, 1, torch.arange(12)).symmetric_beta(0.4)
    some = torch.tensor([7, 2])
    assert torch.equal(Draws(3, 1, some).symmetric_beta(0.4), whole[some])
