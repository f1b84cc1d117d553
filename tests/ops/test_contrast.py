"""One example told from many: who is drawn, the loss written out, what is remembered."""

from math import exp, log

import torch
from torch.nn import functional as F  # noqa: N812
from torch.testing import assert_close

from edgekd.ops.contrast import ByClass, noise_contrastive, nt_xent, remembered
from edgekd.ops.draws import Draws

LABELS = torch.tensor([2, 0, 2, 1, 0, 2, 2, 1])


def test_every_example_of_another_class_is_as_likely_and_none_of_the_own():
    own = torch.tensor([0, 1, 2])
    found = ByClass(LABELS, 4).others(Draws(0, 0, own), own, 6000)
    for label, drawn in zip(own.tolist(), found, strict=True):
        counts = drawn.bincount(minlength=8)
        others = label != LABELS
        assert not counts[~others].any()
        assert_close(counts[others] / 6000, torch.full((int(others.sum()),), 1 / int(others.sum())),
                     rtol=0, atol=0.03)  # fmt: skip


def test_of_many_examples_and_classes_only_counts_are_held():
    found = ByClass(torch.arange(2**21) % 1000, 100_000)  # a mark of each class would be 1.7 TB
    assert found.counts.shape == (100_000,)
    assert found.counts.sum() == 2**21


def test_the_loss_is_that_of_the_densities_written_out():
    positive, negatives, noise = [0.3, -2.0], [[0.1, -1.0, 2.0], [0.0, 0.5, -3.0]], 0.7
    slow = []
    for p, others in zip(positive, negatives, strict=True):
        loss = -log(exp(p) / (exp(p) + noise))
        slow.append(loss - sum(log(noise / (exp(q) + noise)) for q in others))
    found = noise_contrastive(torch.tensor(positive), torch.tensor(negatives), log(noise))
    assert_close(found, torch.tensor(slow))


def test_what_is_remembered_lies_between_and_has_unit_length():
    bank = torch.eye(3)
    seen = torch.tensor([[0.0, 1.0, 0.0]])
    half = remembered(bank, torch.tensor([0]), seen, 0.5)
    assert_close(half, torch.tensor([[0.5, 0.5, 0.0]]) * 2**0.5)
    assert_close(remembered(bank, torch.tensor([0]), seen, 0.0), seen)


def unit(count, seed):
    rng = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, 5, generator=rng, dtype=torch.float64), dim=1)


def test_views_are_told_apart_as_by_exponentials_and_equal_ones_by_chance():
    first, second = unit(7, 0), unit(7, 1)
    scores = (torch.cat([first, second]) @ torch.cat([first, second]).T / 0.3).exp()
    others = scores.sum(1) - scores.diag()
    slow = -(scores.diag(7).repeat(2) / others).log()
    assert_close(nt_xent(first, second, 0.3), slow.view(2, 7).mean(0), rtol=0, atol=1e-10)
    same = first[:1].repeat(7, 1)
    chance = torch.full((7,), log(2 * 7 - 1), dtype=torch.float64)
    assert_close(nt_xent(same, same, 0.3), chance)


def test_scores_that_no_exponential_holds_stay_finite():
    first, second = unit(4, 0).float(), unit(4, 1).float()
    assert nt_xent(first, second, 1e-3).isfinite().all()
