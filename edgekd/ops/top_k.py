"""Scores of many classes, kept as the K best with what is needed to judge the rest.

The log-sum-exp is of all scores, at temperature 1, so the probability of each kept class is exact.
Of the classes that are left out their common mass is kept; how it spreads over them is not, and is
taken as even: of all spreads that one has the most entropy.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt16
from torch import Tensor

from edgekd.ops.shapes import Logits

INDEX16 = 2**16
"""Most classes whose numbers fit into 16 bits."""


class TopK(NamedTuple):
    """What is kept of scores."""

    log_probs: Float[Tensor, "*batch k"]
    """Of the likeliest classes, falling. Near 0 where it matters: float16 is finest there."""
    indices: UInt16[Tensor, "*batch k"] | Int[Tensor, "*batch k"]
    """Those classes."""
    log_sum_exp: Float[Tensor, "*batch"]
    """Of all scores, float32: what the scores lose when they become log-probabilities."""
    log_rest: Float[Tensor, "*batch"]
    """The log of the probability of all other classes together."""


def top_k(logits: Logits, k: int) -> TopK:
    """Return the K likeliest classes with the share of the rest, before any rounding."""
    values, indices = logits.topk(k, dim=-1)
    total = logits.logsumexp(-1)
    others = logits.scatter(-1, indices, -math.inf).logsumexp(-1)
    small = torch.uint16 if logits.shape[-1] <= INDEX16 else torch.int32
    return TopK(values - total[..., None], indices.to(small), total, others - total)


def expand(kept: TopK, classes: int) -> Logits:
    """Return scores of all classes, float32, the rest's mass spread evenly over what was left out.

    Their softmax at temperature 1 is exact for the kept classes and for the rest together.
    """
    left_out = classes - kept.log_probs.shape[-1]
    total = kept.log_sum_exp[..., None]  # added before the spreading: there are few numbers then
    rest = (kept.log_rest.float() - math.log(max(left_out, 1)))[..., None] + total
    scores = rest.repeat(*[1] * kept.log_rest.ndim, classes)
    return scores.scatter_(-1, kept.indices.long(), kept.log_probs.float() + total)


def expansion_error(
    logits: Logits, expanded: Logits, temperature: float
) -> Float[Tensor, "*batch"]:
    """Return KL(true || expanded) per example in nats, both softened: what keeping K costs."""
    true = (logits / temperature).log_softmax(-1)
    found = (expanded / temperature).log_softmax(-1)
    return (true.exp() * (true - found)).sum(-1)


def bytes_per_row(classes: int, k: int | None) -> int:
    """Return what the scores of one example take on the disk: all classes, or the K likeliest."""
    if k is None:
        return 2 * classes + 4
    return k * (2 + (2 if classes <= INDEX16 else 4)) + 4 + 2
