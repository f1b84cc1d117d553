"""Labels and teacher on scores that are divided by their own spread: MIX-KD's loss.

The standard deviation of an example's scores over the classes stands in for a temperature that
somebody sets, on both sides, so how far either network spreads its scores says nothing. It is made
for examples that `mixup` blended and takes their shared labels; it does without. Of few classes
the scaled student cannot be certain: at most 1 / (1 + (C - 1) exp(-sqrt(C))) of C classes, 0.72 of
10. Hence its cross-entropy has a floor; what is handed on is the student's scores as they are,
which choose the same class. No cross-entropy belongs beside it.
"""

from torch.nn import functional as F  # noqa: N812

from edgekd.core.config import Config, NonNegative
from edgekd.core.errors import StageError
from edgekd.core.kinds import objective
from edgekd.core.registry import Paper
from edgekd.ops.divergence import divergence
from edgekd.ops.shapes import ClassShares, Labels, Logits, PerExample

PAPER = Paper(
    "Understanding the Role of Mixup in Knowledge Distillation: An Empirical Study",
    "2211.03946",
    "section 4",
)
LEAST = 1e-6
"""Of a standard deviation: equal scores stay finite."""


class MixKD(Config):
    """Weights of the two parts."""

    label_weight: NonNegative = 0.1
    """Weight of the cross-entropy with the labels."""
    teacher_weight: NonNegative = 0.9
    """Weight of the divergence from the teacher."""


@objective(config=MixKD, paper=PAPER, mixed_labels=True, tries=(["mixkd"],))
def mixkd(
    config: MixKD,
    *,
    student_logits: Logits,
    teacher_logits: Logits,
    labels: Labels | ClassShares,
) -> PerExample:
    r"""Return $-\gamma \sum_c y_c \log p_c + \alpha \sum_c q_c (\log q_c - \log p_c)$ per example.

    p and q are the softmax of the student's and the teacher's scores, each divided by its standard
    deviation over the classes; only the student's has a gradient. StageError of a single class.
    """
    classes = student_logits.shape[-1]
    if classes < 2:
        raise StageError("mixkd divides by the spread over classes; there is one.", "Take kd.")
    student = F.log_softmax(_by_spread(student_logits), dim=-1)
    teacher = F.log_softmax(_by_spread(teacher_logits.detach()), dim=-1)
    target = labels if labels.is_floating_point() else F.one_hot(labels.long(), classes)
    hard = -(target * student).sum(-1)
    soft = divergence(teacher, student)
    return config.label_weight * hard + config.teacher_weight * soft


def _by_spread(logits: Logits) -> Logits:
    logits = logits.float()
    return logits / logits.std(-1, keepdim=True).clamp(min=LEAST)
