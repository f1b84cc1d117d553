"""The student's feature, projected, drawn to the teacher's: what FitNets call a hint.

Maps get a 1x1 convolution, vectors and tokens a linear layer; of maps that differ in size the
larger is averaged down. Departs from the paper: the mean over the numbers of a feature stands for
its sum, the convolution is 1x1 whatever the sizes are, and the hint is a term beside others where
the paper first trains the lower half of the student by it alone.
"""

from torch import nn

from edgekd.core.config import Config
from edgekd.core.errors import StageError
from edgekd.core.kinds import objective
from edgekd.core.protocols.training import Setting
from edgekd.core.registry import Paper
from edgekd.ops import projectors
from edgekd.ops.features import apart, at_same_places
from edgekd.ops.shapes import Features, OtherFeatures, PerExample

PAPER = Paper("FitNets: Hints for Thin Deep Nets", "1412.6550", "equation 3")


class Hint(Config):
    """Options of the hint."""

    projector: bool = True
    """Learn a projection of the student's feature to the teacher's width, as the paper does.
    Without it both must be equally wide."""


@objective(
    config=Hint,
    paper=PAPER,
    tries=(["cross_entropy", {"kind": "hint", "weight": 20, "tap": "maps"}],),
)
class HintLoss(nn.Module):
    """Learn the projection."""

    def __init__(self, config: Hint):
        super().__init__()
        self.config = config
        self.projector: nn.Module = nn.Identity()

    def prepare(self, setting: Setting) -> None:
        """Make the projection; StageError where there is none and the widths differ."""
        own, wanted = (setting.shapes[f"{who}_feature"] for who in ("student", "teacher"))
        widths = [projectors.width_of(shape) for shape in (own, wanted)]
        if self.config.projector:
            self.projector = projectors.linear(own, widths[1])
        elif widths[0] != widths[1]:
            raise StageError(
                f"the student's feature is {widths[0]} wide and the teacher's {widths[1]}.",
                "Give hint projector: true, or tap modules of one width.",
            )

    def forward(self, *, student_feature: Features, teacher_feature: OtherFeatures) -> PerExample:
        r"""Return $\frac12\,\overline{(t - r(s))^2}$ per example; StageError where shapes differ.

        s and t are the features, r the projection, the bar the mean over all numbers of t.
        """
        student, teacher = at_same_places(student_feature.float(), teacher_feature.float())
        return apart(self.projector(student), teacher) / 2
