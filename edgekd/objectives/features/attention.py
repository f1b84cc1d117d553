"""Where the student looks, drawn to where its teacher looks: attention transfer.

Attention is the energy of a feature at each place: of a map over its channels, of tokens over
their numbers; a vector's numbers are places themselves. Nothing is learned, and widths may differ.
Of maps that differ in size the larger is averaged down. As in the authors' code the squares are
averaged over the places, where the paper writes the norm of the difference.
"""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from edgekd.core.config import Config, Positive
from edgekd.core.errors import StageError
from edgekd.core.kinds import objective
from edgekd.core.registry import Paper
from edgekd.ops.features import MAP, TOKENS, apart, at_same_places
from edgekd.ops.shapes import Features, OtherFeatures, PerExample

PAPER = Paper(
    "Paying More Attention to Attention: Improving the Performance of Convolutional Neural "
    "Networks via Attention Transfer",
    "1612.03928",
    "equation 2",
)
SMALLEST = 1e-6
"""Kept of a number that is 0, whose power below 1 would have no gradient."""


class Attention(Config):
    """Options of the attention."""

    power: Positive = 2.0
    """Of the numbers that are summed at a place; higher looks at the strongest alone. The weight
    that belongs to this loss is large: 1,000 in the authors' code."""


@objective(
    config=Attention,
    paper=PAPER,
    tries=(["cross_entropy", {"kind": "attention", "weight": 100, "tap": "maps"}],),
)
def attention(
    config: Attention, *, student_feature: Features, teacher_feature: OtherFeatures
) -> PerExample:
    r"""Return $\overline{(\hat Q_s - \hat Q_t)^2}$ per example, $Q = \sum_c |A_c|^p$.

    The hat divides by the Euclidean norm over all places, the bar is the mean over them.
    StageError where there are no places in common.
    """
    both = at_same_places(student_feature.float(), teacher_feature.float())
    student, teacher = (_looks(feature, config.power) for feature in both)
    if student.shape != teacher.shape:
        raise StageError(
            f"vectors of {student.shape[1]} and {teacher.shape[1]} numbers have no places in "
            "common: attention takes each number for a place.",
            "Tap modules that both give maps, or vectors of one width.",
        )
    return apart(student, teacher)


def _looks(feature: Features, power: float) -> Float[Tensor, "batch places"]:
    """Return the energy at each place, of unit length."""
    energy = feature.abs().clamp(min=SMALLEST).pow(power)
    if feature.ndim in (MAP, TOKENS):
        energy = energy.mean(1 if feature.ndim == MAP else 2)
    return F.normalize(energy.flatten(1), dim=1)
