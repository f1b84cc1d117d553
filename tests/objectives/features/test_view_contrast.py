"""Two views told to be one example's."""

from math import exp, log

import pytest
import torch

from edgekd.core.kinds import objective
from edgekd.core.protocols.training import Setting
from edgekd.objectives.features.view_contrast import Contrast, ViewContrast
from edgekd.testing.signals import ready, signals_for

PLUGIN = objective.get("view_contrast")


def test_it_is_the_sum_of_exponentials_written_out():
    term, signals = ready(PLUGIN), signals_for(PLUGIN)
    views = [term._embedded(signals[name]).tolist() for name in PLUGIN.needs]
    every, count = [*views[0], *views[1]], len(views[0])

    def score(i, k):
        return exp(sum(a * b for a, b in zip(every[i], every[k], strict=True)) / 0.3)

    slow = []
    for i in range(2 * count):
        others = sum(score(i, k) for k in range(2 * count) if k != i)
        slow.append(-log(score(i, (i + count) % (2 * count)) / others))
    assert term(**signals).mean().item() == pytest.approx(sum(slow) / len(slow), rel=1e-5)


def test_a_map_is_pooled_and_views_that_are_one_are_told_best():
    term = Contrast(ViewContrast(width=8))
    torch.manual_seed(0)
    term.prepare(Setting({"student_feature": (3, 2, 2)}, 10, []))
    feature = torch.randn(6, 3, 2, 2)
    told = term(student_feature=feature, student_second_feature=feature)
    assert told.shape == (6,)
    assert (told < term(student_feature=feature, student_second_feature=feature.flip(0))).all()
