"""Decoupled distillation: how likely the true class is, and how the others compare, apart.

The softened divergence of `kd` is the first plus the second times the teacher's doubt in the true
class, which hides what a certain teacher knows of the others. Here each has a weight of its own.
Cross-entropy belongs beside it. The authors raise the weight of this term over the first 20 of 240
epochs: `warmup: 0.083`.
"""

import torch
from jaxtyping import Bool
from torch import Tensor

from edgekd.core.config import Config, NonNegative, Positive
from edgekd.core.errors import StageError
from edgekd.core.kinds import objective
from edgekd.core.registry import Paper
from edgekd.ops.shapes import Labels, Logits, PerExample

PAPER = Paper("Decoupled Knowledge Distillation", "2203.08679", "equation 7")
Mask = Bool[Tensor, "*batch classes"]


class DKD(Config):
    """Options of the two divergences."""

    temperature: Positive = 4.0
    """Softens both distributions."""
    alpha: NonNegative = 1.0
    """Weight of the true class against all others (TCKD)."""
    beta: NonNegative = 8.0
    """Weight of the others among themselves (NCKD). The authors go from 1 to 8 by the teacher."""


@objective(
    config=DKD,
    paper=PAPER,
    tries=(["cross_entropy", "dkd"], ["cross_entropy", {"kind": "dkd", "weight": 0.25}]),
)
def dkd(
    config: DKD, *, student_logits: Logits, teacher_logits: Logits, labels: Labels
) -> PerExample:
    r"""Return $T^2 (\alpha KL(b^q || b^p) + \beta KL(\hat q || \hat p))$ per example, in float32.

    b is (true class, any other), the hats are the distributions over the other classes alone, p is
    the student's and q the teacher's, all softened by T. StageError of a single class.
    """
    if student_logits.shape[-1] < 2:
        raise StageError("dkd compares the other classes; there is one class.", "Take kd.")
    true = torch.zeros_like(student_logits, dtype=torch.bool).scatter(-1, labels[..., None], True)
    student, teacher = (
        _parts(logits.float() / config.temperature, true)
        for logits in (student_logits, teacher_logits.detach())
    )
    target, others = (
        (of.exp() * (of - to)).sum(-1) for to, of in zip(student, teacher, strict=True)
    )
    return config.temperature**2 * (config.alpha * target + config.beta * others)


def _parts(logits: Logits, true: Mask) -> tuple[Tensor, Tensor]:
    """Return log-probabilities of (true class, any other), [*batch, 2], and of the others.

    The latter are [*batch, classes], and where the true class stands 0: equal on both sides.
    """
    others = logits.masked_fill(true, float("-inf"))
    total = others.logsumexp(-1)
    own = logits.masked_fill(~true, float("-inf")).logsumexp(-1)
    target = torch.stack((own, total), -1).log_softmax(-1)
    return target, (others - total[..., None]).masked_fill(true, 0)
