"""Two views of an example told to be the same one among all views of the batch.

The second view is made by an augmentation, as `mix_distribution`, and shown to the student alone,
in a pass of its own. Pooled features go through a linear layer to a common space, which is dropped
at the end. Of several processes each tells the views of its own part of a batch apart. Departs from
KD^3's code: the same loss of the teacher's features is left out, since it moves an embedding of
its own and nothing of the student.
"""

from torch import nn
from torch.nn import functional as F  # noqa: N812

from edgekd.core.config import Config, Positive, PositiveCount
from edgekd.core.kinds import objective
from edgekd.core.protocols.training import Setting
from edgekd.core.registry import Paper
from edgekd.ops.contrast import nt_xent
from edgekd.ops.features import pooled
from edgekd.ops.projectors import width_of
from edgekd.ops.shapes import Embedding, Features, PerExample

PAPER = Paper(
    "Distribution Shift Matters for Knowledge Distillation with Webly Collected Images",
    "2307.11469",
    "its MixDistribution contrast",
)
SIMCLR = Paper(
    "A Simple Framework for Contrastive Learning of Visual Representations", "2002.05709", "NT-Xent"
)


class ViewContrast(Config):
    """Options of the contrast; the weight that belongs to it is 0.001 in the authors' code."""

    width: PositiveCount = 128
    """Of the space in which views are compared."""
    temperature: Positive = 0.3
    """Divides the cosines."""


@objective(config=ViewContrast, paper=PAPER, also=(SIMCLR,))
class Contrast(nn.Module):
    """Learn the layer."""

    def __init__(self, config: ViewContrast):
        super().__init__()
        self.config = config

    def prepare(self, setting: Setting) -> None:
        """Make the layer."""
        own = width_of(setting.shapes["student_feature"])
        self.embedding = nn.Linear(own, self.config.width)

    def forward(self, *, student_feature: Features, student_second_feature: Features) -> PerExample:
        r"""Return $-\log(e^{c_{ij}/\tau} / \sum_{k \ne i} e^{c_{ik}/\tau})$, both views' mean.

        j is the other view of the same example, k runs over all views of the batch, c is the cosine
        of two views.
        """
        first, second = self._embedded(student_feature), self._embedded(student_second_feature)
        return nt_xent(first, second, self.config.temperature)

    def _embedded(self, feature: Features) -> Embedding:
        """Return vectors of unit length."""
        return F.normalize(self.embedding(pooled(feature.float())), dim=1)
