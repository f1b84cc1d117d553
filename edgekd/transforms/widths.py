"""How many channels each group of a model keeps, and which."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Amount:
    """How much goes."""

    ratio: float
    """Share of the channels."""
    over_all: bool
    """Whether all groups are ranked together, not each by itself."""
    round_to: int
    """Widths stay multiples of this number."""
    max_ratio: float
    """Largest share that may go from one group."""


def goes(
    scores: Sequence[Tensor],
    blocks: Sequence[int],
    amount: Amount,
    own: Sequence[float | None] = (),
    before: Sequence[Sequence[int]] = (),
) -> list[Tensor]:
    """Return the channels that go from each group: its least important ones, in order.

    A group of `blocks[i]` blocks (as in a grouped convolution) loses the same channels of every
    block; its scores are those of one block. `own` gives ratios of their own to some groups.
    Channels in `before` go first, and all of them go.
    """
    earlier = before or [()] * len(scores)
    scores = [_below(score, gone) for score, gone in zip(scores, earlier, strict=True)]
    wanted = _wanted(scores, amount)
    for index, ratio in enumerate(own):
        wanted[index] = wanted[index] if ratio is None else len(scores[index]) * (1 - ratio)
    counts = [
        max(len(score) - _rounded(len(score), kept, block, amount), len(gone))
        for score, block, kept, gone in zip(scores, blocks, wanted, earlier, strict=True)
    ]
    return [
        score.argsort(stable=True)[:count].sort().values
        for score, count in zip(scores, counts, strict=True)
    ]


def _below(score: Tensor, gone: Sequence[int]) -> Tensor:
    """Return the scores with those of some channels below all others."""
    if not gone:
        return score
    lowest = score.clone()
    lowest[[*gone]] = -1.0  # no importance is negative
    return lowest


def _wanted(scores: Sequence[Tensor], amount: Amount) -> list[float]:
    """Return how many channels each group would keep if any width were as good."""
    if not amount.over_all:
        return [len(score) * (1 - amount.ratio) for score in scores]
    ranked = torch.cat(list(scores)).argsort(stable=True)
    gone = set(ranked[: round(len(ranked) * amount.ratio)].tolist())
    start, kept = 0, []
    for score in scores:
        kept.append(float(len(score) - len(gone.intersection(range(start, start + len(score))))))
        start += len(score)
    return kept


def _rounded(width: int, wanted: float, blocks: int, amount: Amount) -> int:
    """Return the allowed width of one block nearest to the wanted one; half a step rounds up."""
    step = amount.round_to // math.gcd(amount.round_to, blocks)
    nearest = math.floor(wanted / step + 0.5) * step
    least = max(step, math.ceil(width * (1 - amount.max_ratio) / step - 1e-9) * step)
    return min(width, max(nearest, least))
