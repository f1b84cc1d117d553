"""Variational information: how well the teacher's feature can be told from the student's.

A regression from the student gives the mean of a normal distribution of each number of the
teacher's feature, each channel learns its own variance, and the loss is the negative logarithm of
the teacher's likelihood, without the constant. Channels that cannot be told weigh less in time.
Of maps that differ in size the larger is averaged down. Departs from the paper: the mean over the
numbers of a feature stands for its sum.
"""

from math import expm1, log

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from edgekd.core.config import Config, Positive
from edgekd.core.kinds import objective
from edgekd.core.protocols.training import Setting
from edgekd.core.registry import Paper
from edgekd.ops.features import MAP, at_same_places
from edgekd.ops.projectors import layers, width_of
from edgekd.ops.shapes import Features, OtherFeatures, PerExample

PAPER = Paper(
    "Variational Information Distillation for Knowledge Transfer", "1904.05835", "equation 4"
)
SMALLEST = 1e-5
"""Of a variance, so that the loss has an end."""


class VID(Config):
    """Options of the regression."""

    variance: Positive = 5.0
    """Of every channel at the beginning."""


@objective(config=VID, paper=PAPER, tries=(["cross_entropy", {"kind": "vid", "tap": "maps"}],))
class VariationalInformation(nn.Module):
    """Learn the regression and the variances."""

    def __init__(self, config: VID):
        super().__init__()
        self.config = config

    def prepare(self, setting: Setting) -> None:
        """Make the regression, of three layers as wide as the teacher, and the variances."""
        own, wanted = (setting.shapes[f"{who}_feature"] for who in ("student", "teacher"))
        width = width_of(wanted)
        self.mean = layers(own, (width, width, width), bias=False)
        begin = log(expm1(max(self.config.variance - SMALLEST, SMALLEST)))
        self.spread = nn.Parameter(torch.full((width,), begin))

    def forward(self, *, student_feature: Features, teacher_feature: OtherFeatures) -> PerExample:
        r"""Return $\frac12\,\overline{\log \sigma_c^2 + (t - \mu(s))^2 / \sigma_c^2}$ per example.

        The bar is the mean over all numbers of t, c the channel; $\sigma_c^2$ is softplus of what
        is learned. StageError where the features have no places in common.
        """
        student, teacher = at_same_places(student_feature.float(), teacher_feature.float())
        variance = self._variance(teacher.ndim)
        square: Tensor = (teacher - self.mean(student)).square() / variance
        return (variance.log() + square).flatten(1).mean(1) / 2

    def _variance(self, dimensions: int) -> Tensor:
        """Return the variances of the channels, to stand beside a feature."""
        variance = F.softplus(self.spread) + SMALLEST
        return variance.view(-1, 1, 1) if dimensions == MAP else variance
