"""Choosing which examples of a pool to label next, by what a model says of them."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

Points = Float[Tensor, "pool width"]
Taken = Float[Tensor, "taken width"]
Probs = Float[Tensor, "pool classes"]
Scores = Float[Tensor, " pool"]
Classes = Int[Tensor, " pool"]
Picks = Int[Tensor, " picks"]


class Cover(NamedTuple):
    """Points picked one after the other, and how far each lay from all that were taken before."""

    picks: Picks
    """Rows of the pool."""
    radii: Float[Tensor, " picks"]
    """Euclidean; they never grow. Infinite for the first where nothing was taken."""


def farthest_first(pool: Points, taken: Taken, budget: int) -> Cover:
    """Return points that cover a pool: one by one the farthest from all taken so far.

    That is greedy k-center, whose largest distance is at most twice the least possible. Of equally
    far ones the first is picked. Where nothing is taken, it begins with the point farthest from the
    mean of the pool. Takes O((taken + budget) pool width): each pick updates one distance a point.
    On vectors of length 1 it is k-center by cosine. All points where the budget is larger.
    """
    points = pool.double()
    gap = points.new_full((len(points),), math.inf)
    for centre in taken.double():
        gap = gap.minimum(_distance(points, centre))
    picks: list[Tensor] = []
    radii: list[Tensor] = []
    for _ in range(min(budget, len(points))):
        first = not picks and not len(taken)
        pick = (_distance(points, points.mean(0)) if first else gap).argmax()
        picks.append(pick)
        radii.append(gap[pick])
        gap = gap.minimum(_distance(points, points[pick]))
        gap[pick] = -math.inf
    if not picks:
        return Cover(torch.zeros(0, dtype=torch.long, device=pool.device), gap[:0])
    return Cover(torch.stack(picks), torch.stack(radii))


def _distance(points: Tensor, centre: Tensor) -> Scores:
    """Return distances without the cancellation of `cdist`: equal points are 0 apart."""
    apart: Tensor = torch.linalg.vector_norm(points - centre, dim=1)
    return apart


def entropy(probs: Probs) -> Scores:
    """Return how undecided each row is: its entropy, in nats."""
    each: Tensor = torch.special.entr(probs)
    return each.sum(-1)


def margin(probs: Probs) -> Scores:
    """Return how close the second likeliest class comes to the first: 0 where both are as likely.

    Negative elsewhere, so that the largest is the least decided.
    """
    first, second = probs.topk(2, dim=-1).values.unbind(-1)
    return second - first


def highest(scores: Scores, budget: int) -> Picks:
    """Return the rows with the highest scores, highest first; of equal ones the first."""
    return scores.argsort(descending=True, stable=True)[:budget]


def balanced(
    classes: Classes, counts: Int[Tensor, " classes"], budget: int, rng: torch.Generator
) -> Picks:
    """Return rows such that all classes come to be as evenly taken as the pool allows.

    Each pick is drawn from the class that has been taken the least, of those with rows left, by
    chance among equals; `counts` says how often each was taken before. `rng` is of a CPU.
    """
    order = torch.randperm(len(classes), generator=rng).tolist()
    own = classes.tolist()
    left: dict[int, list[int]] = {}
    for row in order:
        left.setdefault(own[row], []).append(row)
    taken = dict(enumerate(counts.tolist()))
    picks: list[int] = []
    while left and len(picks) < budget:
        fewest = min(taken[c] for c in left)
        among = sorted(c for c in left if taken[c] == fewest)
        chosen = among[int(torch.randint(len(among), (), generator=rng))]
        picks.append(left[chosen].pop())
        taken[chosen] += 1
        left = {c: rows for c, rows in left.items() if rows}
    return torch.tensor(picks, dtype=torch.long, device=classes.device)


def gradient_seeds(probs: Probs, features: Points, budget: int, rng: torch.Generator) -> Picks:
    r"""Return the k-means++ seeding of the gradient embeddings $(p - 1_{\hat y}) \otimes h$.

    That is the gradient of the last layer's weights if the likeliest class were right. The first
    pick has the longest, each other is drawn with a chance that grows with the square of the
    distance to the nearest picked one (by chance alone where all that is left lies on picked ones).
    The embeddings themselves, pool x classes x width numbers, are never made. `rng` is of a CPU.
    """
    residual = probs.double()
    residual = residual - torch.nn.functional.one_hot(probs.argmax(-1), probs.shape[-1])
    rows = features.double()
    norms = residual.square().sum(1) * rows.square().sum(1)
    left = torch.ones_like(norms)
    gap = torch.full_like(norms, math.inf)
    picks: list[int] = []
    while len(picks) < min(budget, len(norms)):
        pick = int(norms.argmax()) if not picks else _drawn(gap if gap.any() else left, rng)
        picks.append(pick)
        products = (residual @ residual[pick]) * (rows @ rows[pick])
        gap = gap.minimum((norms + norms[pick] - 2 * products).clamp(min=0))
        gap[pick] = left[pick] = 0
    return torch.tensor(picks, dtype=torch.long, device=probs.device)


def _drawn(weights: Scores, rng: torch.Generator) -> int:
    """Return a row, drawn with the chance of its weight; never one of weight 0."""
    rows = weights.nonzero()[:, 0]
    sums = weights[rows].cumsum(0).cpu()
    at = torch.rand((), generator=rng, dtype=torch.float64) * sums[-1]
    return int(rows[int(torch.searchsorted(sums, at, right=True).clamp(max=len(rows) - 1))])
