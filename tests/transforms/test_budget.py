"""How much goes: the given ratio, or the least that keeps a budget."""

import weakref

import pytest
from torch import nn

from edgekd.core.signature import Signature
from edgekd.transforms.budget import MIB, HowMuch, how_much

WIDTH = 1000
NONE = Signature((), ())
"""Weighing a model takes no example."""


class Tried:
    """Makes one row of numbers narrower, and knows what is still there of all that it made."""

    def __init__(self):
        self.ratios, self.made, self.most_alive = [], weakref.WeakSet(), 0

    def __call__(self, ratio):
        self.ratios.append(ratio)
        narrow = nn.Linear(round(WIDTH * (1 - ratio)), 1, bias=False)
        self.made.add(narrow)
        self.most_alive = max(self.most_alive, len(self.made))
        return narrow


def found(tried, *, anyway=False, **amount):
    dense = nn.Linear(WIDTH, 1, bias=False)
    return how_much(HowMuch(**amount), dense, tried, anyway=anyway, signature=NONE, batch={})


def test_a_ratio_is_taken_as_it_is_and_nothing_is_tried():
    tried = Tried()
    assert found(tried, ratio=0.3, anyway=True) == 0.3
    assert not tried.ratios


def test_of_a_budget_it_is_the_least_and_few_candidates_are_held_at_once():
    tried = Tried()
    ratio = found(tried, size_mib=4 * 600 / MIB, anyway=True)
    assert ratio == pytest.approx(0.4, abs=1e-3)
    assert tried(ratio).in_features <= 600
    assert tried.most_alive <= 2


def test_where_the_dense_model_keeps_the_budget_only_what_goes_anyway_goes():
    assert found(Tried(), size_mib=1) is None
    assert found(Tried(), size_mib=1, anyway=True) == 0.0
