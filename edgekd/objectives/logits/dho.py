"""Labels to one head, the teacher to the other: neither pulls at what the other one learns.

For few labels, many examples without and a teacher that may be wrong: of what carries no label
(`train.labelled`) the teacher's head learns alone. The student is a `dual_head`, tapped at `both`.
The teacher's divergence is the sum of its mean over labelled and over unlabelled examples, as the
authors' two streams have it. No cross-entropy belongs beside it.
"""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from edgekd.core.config import Config, NonNegative, Positive
from edgekd.core.errors import StageError
from edgekd.core.kinds import objective
from edgekd.core.registry import Paper
from edgekd.ops.divergence import divergence
from edgekd.ops.shapes import Features, Labels, Logits, PerExample

PAPER = Paper(
    "Simple yet Effective Semi-supervised Knowledge Distillation from Vision-Language Models via "
    "Dual-Head Optimization",
    "2505.07675",
    "its loss",
)


class DHO(Config):
    """Weights of the two heads."""

    label_weight: NonNegative = 0.5
    """Weight of the cross-entropy of the head of the labels; the authors have 1 for ImageNet."""
    teacher_weight: NonNegative = 0.5
    """Weight of the divergence of the head of the teacher; likewise."""
    temperature: Positive = 2.0
    """Softens the teacher and its head; the divergence is multiplied by its square."""


@objective(
    config=DHO,
    paper=PAPER,
    unlabelled=True,
    example={"student_feature": (2, 7)},
    teaches="dual_head",
)
def dho(
    config: DHO,
    *,
    student_feature: Features,
    teacher_logits: Logits,
    labels: Labels,
) -> Float[Tensor, ""]:
    r"""Return $w_{ce} CE(h_1, y) + w_{kd} T^2 [KL(t \| h_2)_{labelled} + KL(t \| h_2)_{others}]$.

    $h_1$ and $h_2$ are the scores of two heads, a feature [batch, 2, classes]. Each is the mean
    over its examples, 0 where there are none; a label below 0 is none. StageError of another
    feature.
    """
    if student_feature.shape[1:] != (2, *teacher_logits.shape[1:]):
        raise StageError(
            f"dho teaches two heads; the tapped module gives {list(student_feature.shape[1:])}.",
            "Take a student of kind dual_head with tap: {student: head.both}.",
        )
    first, second = student_feature.float().unbind(1)
    known = labels >= 0
    hard = F.cross_entropy(first, labels.clamp(min=0), reduction="none")
    student = F.log_softmax(second / config.temperature, dim=-1)
    teacher = F.log_softmax(teacher_logits.detach().float() / config.temperature, dim=-1)
    soft = divergence(teacher, student)
    taught = config.temperature**2 * (_mean(soft, known) + _mean(soft, ~known))
    return config.label_weight * _mean(hard, known) + config.teacher_weight * taught


def _mean(values: PerExample, chosen: Tensor) -> Float[Tensor, ""]:
    """Return the mean over the chosen; 0 where there are none."""
    return (values * chosen).sum() / chosen.sum().clamp(min=1)
