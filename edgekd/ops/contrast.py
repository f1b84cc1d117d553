"""One example told apart from many others: draws of the others, and the loss."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from edgekd.ops.draws import Draws
from edgekd.ops.shapes import Embedding, Ids, Labels, PerExample


class ByClass:
    """All examples of a split in the order of their classes, to draw from all but one class."""

    def __init__(self, labels: Int[Tensor, " examples"], classes: int):
        self.order = labels.argsort(stable=True)
        self.counts = labels.bincount(minlength=classes)
        self.begins = self.counts.cumsum(0) - self.counts

    def others(self, draws: Draws, labels: Labels, count: int) -> Int[Tensor, "batch count"]:
        """Return ids of examples of other classes, drawn with replacement for each of the batch.

        Every example of another class is as likely as any; there must be one.
        """
        own, begins = self.counts[labels, None], self.begins[labels, None]
        there = len(self.order) - own
        place = (draws.uniform(count) * there).long().minimum(there - 1)
        return self.order[place + own * (place >= begins)]


def noise_contrastive(
    positive: PerExample, negatives: Float[Tensor, "batch count"], log_noise: float
) -> PerExample:
    """Return how badly a positive is told from negatives that noise would give as well.

    Both are logarithms of densities, `log_noise` is that of the noise times the number of
    negatives: -log p/(p + n) of the positive, and -log n/(p + n) of every negative added up.
    """
    return F.softplus(log_noise - positive) + F.softplus(negatives - log_noise).sum(1)


def remembered(
    bank: Float[Tensor, "examples width"], ids: Ids, seen: Float[Tensor, "batch width"], keep: float
) -> Float[Tensor, "batch width"]:
    """Return what a bank of unit vectors is to hold of some examples now."""
    return F.normalize(torch.lerp(seen, bank[ids], keep), dim=1)


def nt_xent(first: Embedding, second: Embedding, temperature: float) -> PerExample:
    """Return how badly each of two views of an example is told to be the other's, their mean.

    Rows are of unit length. Each of the 2B views is told from all others but itself, whose score is
    set to minus infinity: no exponential is added up and taken away again.
    """
    views, count = torch.cat([first, second]), len(first)
    scores = (views @ views.T / temperature).fill_diagonal_(-torch.inf)
    other = torch.arange(2 * count, device=views.device).roll(count)
    return F.cross_entropy(scores, other, reduction="none").view(2, count).mean(0)
