"""Softened KL divergence from teacher to student: what Hinton called knowledge distillation.

The gradient of a divergence at temperature T shrinks with 1/T^2, so it is multiplied by T^2: the
balance with other terms then does not move when T does.
"""

from torch.nn import functional as F  # noqa: N812

from edgekd.core.config import Config, Positive
from edgekd.core.kinds import objective
from edgekd.core.registry import Paper
from edgekd.ops.shapes import Logits, PerExample

PAPER = Paper("Distilling the Knowledge in a Neural Network", "1503.02531", "section 2")


class KD(Config):
    """Options of the softened divergence."""

    temperature: Positive = 4.0
    """Softens both distributions; higher shows more of what the teacher thinks of wrong classes."""


@objective(config=KD, paper=PAPER)
def kd(config: KD, *, student_logits: Logits, teacher_logits: Logits) -> PerExample:
    r"""Return $T^2 \sum_c q_c (\log q_c - \log p_c)$ per example, both softened by T."""
    student = F.log_softmax(student_logits / config.temperature, dim=-1)
    teacher = F.log_softmax(teacher_logits / config.temperature, dim=-1)
    divergence = F.kl_div(student, teacher, reduction="none", log_target=True).sum(-1)
    return divergence * config.temperature**2
