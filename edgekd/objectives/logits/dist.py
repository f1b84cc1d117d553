"""Relations in place of values: the student's probabilities shall correlate with the teacher's.

Of each example over its classes (between classes), and of each class over the batch's examples
(within a class). A stronger teacher may be much more certain than a student can be: its order and
spacing are asked for, and no values. Cross-entropy belongs beside it.
"""

from torch import Tensor

from edgekd.core.config import Config, NonNegative, Positive
from edgekd.core.errors import StageError
from edgekd.core.kinds import objective
from edgekd.core.registry import Paper
from edgekd.ops.shapes import Logits, PerExample

PAPER = Paper("Knowledge Distillation from A Stronger Teacher", "2205.10536", "equations 8 to 10")
LEAST = 1e-8
"""Added to the product of the norms, as the authors do: what does not vary correlates to 0."""


class DIST(Config):
    """Options of the two correlations; the defaults are those of the authors' code."""

    temperature: Positive = 1.0
    """Softens both distributions. The paper has 4 for CIFAR-100, 1 for ImageNet."""
    beta: NonNegative = 1.0
    """Weight of the relations between classes. The paper has 2 for ImageNet."""
    gamma: NonNegative = 1.0
    """Weight of the relations within a class. The paper has 2 for ImageNet."""


@objective(
    config=DIST,
    paper=PAPER,
    tries=(["cross_entropy", "dist"], ["cross_entropy", {"kind": "dist", "temperature": 4}]),
)
def dist(config: DIST, *, student_logits: Logits, teacher_logits: Logits) -> PerExample:
    r"""Return $T^2 (\beta (1 - \rho(p_i, q_i)) + \gamma (1 - \bar\rho))$ per example i, in float32.

    $\rho$ is Pearson's correlation over the classes of an example, $\bar\rho$ the mean over the
    classes of that over the examples: the same for all, and of an example alone always 0.
    StageError of a single class.
    """
    if student_logits.shape[-1] < 2:
        raise StageError("dist correlates over the classes; there is one class.", "Take kd.")
    student, teacher = (
        (logits.float() / config.temperature).softmax(-1)
        for logits in (student_logits, teacher_logits.detach())
    )
    between = 1 - _correlation(student, teacher, -1)
    within = 1 - _correlation(student.flatten(0, -2), teacher.flatten(0, -2), 0).mean()
    return config.temperature**2 * (config.beta * between + config.gamma * within)


def _correlation(ones: Logits, others: Logits, dim: int) -> Tensor:
    """Return Pearson's correlation over a dimension, which goes."""
    ones, others = (values - values.mean(dim, keepdim=True) for values in (ones, others))
    norms: Tensor = ones.norm(dim=dim) * others.norm(dim=dim)
    return (ones * others).sum(dim) / (norms + LEAST)
