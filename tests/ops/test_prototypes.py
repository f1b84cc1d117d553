"""Shares of prototypes, and what they say together."""

from math import exp

import pytest
import torch
from torch.testing import assert_close

from edgekd.ops.prototypes import Recall, log_shares


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def recall(count=5, width=3):
    module = Recall(count, width)
    module.keep(random(count, width), torch.tensor(2.0))
    return module


def test_shares_and_what_they_recall_are_the_sums_written_out():
    module, tokens = recall(), random(4, 2, 3, seed=1)
    shares = log_shares(tokens, module.prototypes, module.spread).exp()
    found, places = module(tokens), module.prototypes.tolist()
    for n, row in enumerate(tokens.tolist()):
        for place, token in enumerate(row):
            far = [sum((a - p) ** 2 for a, p in zip(token, at, strict=True)) for at in places]
            near = [exp(-square / 2) for square in far]
            wanted = [value / sum(near) for value in near]
            assert shares[n, place].tolist() == pytest.approx(wanted, abs=1e-5)
            mean = [sum(w * at[i] for w, at in zip(wanted, places, strict=True)) for i in range(3)]
            assert found[n, place].tolist() == pytest.approx(mean, abs=1e-5)


def test_a_map_is_told_place_by_place_and_the_order_of_prototypes_does_not_matter():
    module, tokens = recall(), random(2, 6, 3, seed=1)
    maps = tokens.transpose(1, 2).reshape(2, 3, 2, 3)
    assert_close(module(maps).flatten(2).transpose(1, 2), module(tokens))
    again = Recall(5, 3)
    again.keep(module.prototypes.flip(0), module.spread)
    assert_close(again(maps), module(maps))


def test_without_prototypes_it_says_nothing_and_others_do_not_fit():
    assert not Recall(5, 3)(random(2, 6, 3)).any()
    with pytest.raises(
        ValueError, match=r"room for prototypes of \[5, 3\], and these are \[4, 3\]"
    ):
        Recall(5, 3).keep(random(4, 3), torch.tensor(1.0))
