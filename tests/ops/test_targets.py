"""Targets of teacher and label: written out, and their limits."""

import pytest
import torch
from torch.nn import functional as F  # noqa: N812
from torch.testing import assert_close

from edgekd.ops.targets import EnhancedTarget, enhanced, weighted_cross_entropy

LABELS = torch.tensor([2, 0, 1])


def teacher():
    return torch.randn(3, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("others", ["gamma", "1"])
def test_each_weight_is_the_power_written_out(others):
    config = EnhancedTarget(gamma=1.5, temperature=2.0, others=others)
    found = enhanced(config, teacher(), LABELS)
    probs = (teacher() / 2).softmax(-1)
    for row, (weights, chances) in enumerate(zip(found.tolist(), probs.tolist(), strict=True)):
        for c, (weight, p) in enumerate(zip(weights, chances, strict=True)):
            wanted = (
                (1 + p) ** 1.5 - 1 if c == LABELS[row] else p ** (1.5 if others == "gamma" else 1)
            )
            assert weight == pytest.approx(wanted, rel=1e-5)


def test_gamma_1_is_the_softened_teacher_whatever_the_label():
    config = EnhancedTarget(temperature=3.0)
    assert_close(enhanced(config, teacher(), LABELS), (teacher() / 3).softmax(-1))


def test_a_higher_gamma_trusts_the_label_more_and_the_others_less():
    low, high = (enhanced(EnhancedTarget(gamma=g), teacher(), LABELS) for g in (1.0, 1.7))
    true = F.one_hot(LABELS, 4).bool()
    assert (high[true] > low[true]).all()
    assert (high[~true] < low[~true]).all()


def test_of_shared_labels_the_larger_share_is_the_true_class_and_no_gradient_goes_back():
    shares = torch.tensor([[0.1, 0.0, 0.9, 0.0], [0.6, 0.4, 0.0, 0.0], [0.2, 0.8, 0.0, 0.0]])
    config, scores = EnhancedTarget(gamma=1.5), teacher().requires_grad_()
    found = enhanced(config, scores, shares)
    assert torch.equal(found, enhanced(config, scores, LABELS))
    assert not found.requires_grad


def test_the_gradient_of_the_weighted_sum_is_that_of_its_formula():
    scores = torch.randn(3, 4, requires_grad=True)
    weights = enhanced(EnhancedTarget(gamma=1.4), teacher(), LABELS)
    weighted_cross_entropy(scores, weights, 1.0).mean().backward()
    wanted = (weights.sum(-1, keepdim=True) * scores.detach().softmax(-1) - weights) / 3
    assert_close(scores.grad, wanted)
