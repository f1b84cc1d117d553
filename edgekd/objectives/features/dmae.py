"""The student's tokens, projected, drawn to those of a masked auto-encoder, whatever their length.

For pre-training without labels: beside `masked_reconstruction`, under augmentation `patch_mask`, of
which teacher and student see the same patches. Tap a block at about three quarters of the depth of
each: `tap: {student: blocks.8, teacher: blocks.17}` for 12 and 24 blocks; the teacher computes no
further. Several terms draw several blocks together. A difference of unit vectors has numbers of
about 1 / sqrt(width of the teacher), so wide teachers want a weight above the authors' 1.
"""

from typing import Literal

from torch import nn
from torch.nn import functional as F  # noqa: N812

from edgekd.core.config import Config
from edgekd.core.errors import StageError
from edgekd.core.kinds import objective
from edgekd.core.protocols.training import Setting
from edgekd.core.registry import Paper
from edgekd.ops.features import as_tokens, at_same_places
from edgekd.ops.projectors import width_of
from edgekd.ops.shapes import Features, OtherFeatures, PerExample
from edgekd.ops.transformer import linear, perceptron

PAPER = Paper(
    "Masked Autoencoders Enable Efficient Knowledge Distillers", "2208.12256", "its alignment"
)


class DMAE(Config):
    """Options of the alignment."""

    projection: Literal["linear", "mlp", "two_mlps", "none"] = "linear"
    """From the student's width to the teacher's: a linear layer, one perceptron of two layers with
    the teacher's width between them, or two; `none` where both are equally wide."""


@objective(config=DMAE, paper=PAPER, kept=False, pretrains=True)
class Alignment(nn.Module):
    """Learn the projection."""

    def __init__(self, config: DMAE):
        super().__init__()
        self.config = config
        self.projection: nn.Module = nn.Identity()

    def prepare(self, setting: Setting) -> None:
        """Make the projection; StageError where there is none and the widths differ."""
        shapes = setting.shapes
        own, wanted = (width_of(shapes[f"{who}_feature"]) for who in ("student", "teacher"))
        if self.config.projection == "linear":
            self.projection = linear(own, wanted)
        elif self.config.projection != "none":
            widths = [own, wanted] if self.config.projection == "two_mlps" else [own]
            self.projection = nn.Sequential(*(perceptron(one, wanted, wanted) for one in widths))
        elif own != wanted:
            raise StageError(
                f"the student's feature is {own} wide and the teacher's {wanted}.",
                "Give dmae projection: linear, or tap modules of one width.",
            )

    def forward(self, *, student_feature: Features, teacher_feature: OtherFeatures) -> PerExample:
        r"""Return $\overline{|p(s)/\|p(s)\| - t/\|t\||}$ per example.

        StageError where both have other tokens. s and t are the tokens of both, that of the class
        among them, p the projection, the norms those of each token, the bar the mean over tokens
        and over the teacher's width.
        """
        student, teacher = at_same_places(student_feature.float(), teacher_feature.float())
        own = F.normalize(self.projection(as_tokens(student)), dim=-1)
        apart = own - F.normalize(as_tokens(teacher), dim=-1)
        return apart.abs().mean((1, 2))
