"""Divergences to and from the teacher, balanced by whose distribution is the sharper one.

Of an example of which the student is more certain than its teacher, the forward divergence counts
more, which spreads; otherwise the reverse one, which sharpens. `online` lets the teacher learn
from the labels and from the student meanwhile. How the entropies gate the two is not printed in
what could be read of the paper: the gate and its constant are this project's reading of it. With
`gate: forward` it is what it must be compared with, deep mutual learning.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from edgekd.core.config import Config, NonNegative, Positive
from edgekd.core.kinds import objective
from edgekd.core.registry import Paper
from edgekd.ops.divergence import divergence
from edgekd.ops.shapes import Labels, Logits, PerExample

PAPER = Paper("BD-KD: Balancing the Divergences for Online Knowledge Distillation", "2212.12965")
MUTUAL = Paper("Deep Mutual Learning", "1706.00384", "equations 4 to 7")


class BDKD(Config):
    """Options of the balanced divergences."""

    temperature: Positive = 2.0
    """Softens both distributions."""
    delta: float = Field(default=2.0, ge=1, allow_inf_nan=False)
    """How many times the favoured divergence counts; 1 favours none."""
    gate: Literal["hard", "soft", "forward"] = "hard"
    """Whether the sign of the entropies' difference decides, or a sigmoid of it, or nobody: the
    forward divergence alone then counts, once."""
    steepness: Positive = 1.0
    """Of the soft gate, per nat."""
    online: bool = True
    """Let the teacher learn, too: from labels, and from the student by the reverse divergence."""
    teacher_labels: NonNegative = 1.0
    """Weight of the labels beside that divergence where the teacher learns: (1 - w) / w, where the
    student's own labels have the weight 1 - w and this term has w."""


@objective(
    config=BDKD,
    paper=PAPER,
    also=(MUTUAL,),
    teacher_learns=lambda config: config.online,
    tries=(
        ["cross_entropy", {"kind": "bdkd", "online": False}],
        [
            {"kind": "cross_entropy", "weight": 0.1},
            {"kind": "bdkd", "weight": 0.9, "online": False},
        ],
    ),
)
def bdkd(
    config: BDKD, *, student_logits: Logits, teacher_logits: Logits, labels: Labels
) -> PerExample:
    r"""Return $T^2 (a KL(q || p) + b KL(p || q)) / (1 + \delta)$ per example, softened by T.

    p is the student's, q the teacher's; (a, b) is (delta, 1) where H(q) > H(p), else (1, delta), or
    without a gate (1 + delta, 0).
    Where the teacher learns, its own $T^2 KL(p || q)$ and cross entropy are added. Neither part
    gives a gradient to the other network.
    """
    student = F.log_softmax(student_logits.float() / config.temperature, dim=-1)
    teacher = F.log_softmax(teacher_logits.float() / config.temperature, dim=-1)
    fixed_student, fixed_teacher = student.detach(), teacher.detach()
    forward, reverse = _weights(config, _entropy(fixed_teacher) - _entropy(fixed_student))
    loss = forward * divergence(fixed_teacher, student)
    loss = (loss + reverse * divergence(student, fixed_teacher)) / (1 + config.delta)
    if not config.online:
        return config.temperature**2 * loss
    own = F.cross_entropy(teacher_logits.float().movedim(-1, 1), labels, reduction="none")
    mutual = divergence(fixed_student, teacher)
    return config.temperature**2 * (loss + mutual) + config.teacher_labels * own


def _weights(config: BDKD, gap: PerExample) -> tuple[Tensor, Tensor]:
    """Return what the forward and the reverse divergence count, each [*batch]."""
    if config.gate == "forward":
        return torch.full_like(gap, 1 + config.delta), torch.zeros_like(gap)
    soft = config.gate == "soft"
    share = torch.sigmoid(config.steepness * gap) if soft else (gap > 0).to(gap)
    more = config.delta - 1
    return 1 + more * share, 1 + more * (1 - share)


def _entropy(log_probs: Logits) -> PerExample:
    return -(log_probs.exp() * log_probs).sum(-1)
