"""Softened KL divergence from teacher to student: what Hinton called knowledge distillation.

The gradient of a divergence at temperature T shrinks with 1/T^2, so it is multiplied by T^2: the
balance with other terms then does not move when T does.

Standardised, each example's scores are shifted and scaled to mean 0 and standard deviation 1 first,
on both sides: the student learns their relations and may keep its own range.
"""

from torch.nn import functional as F  # noqa: N812

from edgekd.core.config import Config, Positive
from edgekd.core.kinds import objective
from edgekd.core.registry import Paper
from edgekd.ops.divergence import divergence
from edgekd.ops.shapes import Logits, PerExample

PAPER = Paper("Distilling the Knowledge in a Neural Network", "1503.02531", "section 2")
STANDARDISED = Paper("Logit Standardization in Knowledge Distillation", "2403.01549", "algorithm 1")
LEAST = 1e-7
"""Added to the standard deviation, as its authors do: equal scores stay finite."""


class KD(Config):
    """Options of the softened divergence."""

    temperature: Positive = 4.0
    """Softens both distributions; higher shows more of what the teacher thinks of wrong classes."""
    standardise: bool = False
    """Take z-scores of the logits first. Its authors then have temperature 2 and weight 9."""


@objective(
    config=KD,
    paper=PAPER,
    also=(STANDARDISED,),
    tries=(
        [{"kind": "cross_entropy", "weight": 0.1}, {"kind": "kd", "weight": 0.9, "temperature": 4}],
        [{"kind": "cross_entropy", "weight": 0.1}, {"kind": "kd", "weight": 0.9, "temperature": 2}],
        [{"kind": "kd", "temperature": 1}],
        ["cross_entropy", {"kind": "kd", "weight": 9, "temperature": 2, "standardise": True}],
    ),
)
def kd(config: KD, *, student_logits: Logits, teacher_logits: Logits) -> PerExample:
    r"""Return $T^2 \sum_c q_c (\log q_c - \log p_c)$ per example, both softened by T."""
    if config.standardise:
        student_logits, teacher_logits = _standard(student_logits), _standard(teacher_logits)
    student = F.log_softmax(student_logits / config.temperature, dim=-1)
    teacher = F.log_softmax(teacher_logits / config.temperature, dim=-1)
    return divergence(teacher, student) * config.temperature**2


def _standard(logits: Logits) -> Logits:
    """Return z-scores over the classes, by the deviation of all of them and not of a sample.

    The paper's own; its authors' code divides by the number of classes less one.
    """
    logits = logits.float()
    deviation = logits.std(-1, keepdim=True, correction=0)
    return (logits - logits.mean(-1, keepdim=True)) / (deviation + LEAST)
