"""Features drawn along the teacher's mean of their class, and made at least as long as its own.

A term beside cross-entropy and any other distillation, for what the head reads (`tap: {student:
pool, teacher: pool}`). It is fitted: the means are those of the teacher over all training examples.
Where the widths differ the student's feature goes through batch norm, dropout and a linear layer,
which are dropped at the end; the pull on the norm is then on what they give and not on what the
student's head reads, whose length over the teacher's stands in the history (`nd.length`). Of mixed
examples the mean of their classes, by their shares, stands for that of the class, as for the
authors' DeiT. The authors raise the weight of the KD beside it over the first epochs (KD++):
`{kind: kd, warmup: 0.083}` for their 20 of 240 of CIFAR-100, 0.05 for their 5 of 100 of ImageNet.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from edgekd.core.config import Config, Share
from edgekd.core.errors import StageError
from edgekd.core.kinds import objective
from edgekd.core.protocols.training import Setting
from edgekd.core.protocols.values import Signals
from edgekd.core.registry import Paper
from edgekd.ops.classes import check_seen
from edgekd.ops.features import pooled
from edgekd.ops.projectors import normed, width_of
from edgekd.ops.shapes import (
    ClassShares,
    Embedding,
    Features,
    Labels,
    OtherFeatures,
    PerExample,
)

PAPER = Paper(
    "Improving Knowledge Distillation via Regularizing Feature Norm and Direction",
    "2305.17007",
    "its ND loss",
)
SHORTEST = 1e-12


class ND(Config):
    """Options of norm and direction; the authors' weights of it are from 0.5 to 4."""

    dropout: Share = 0.5
    """Of the projector, which is there where the widths differ."""


def length(
    _term: nn.Module, *, student_feature: Features, teacher_feature: OtherFeatures, **_: Tensor
) -> PerExample:
    """Return how long what the student's head reads is, over the teacher's length."""
    own, wanted = (pooled(side.float()).norm(dim=-1) for side in (student_feature, teacher_feature))
    ratio: Tensor = own / wanted.clamp(min=SHORTEST)
    return ratio


@objective(
    config=ND,
    paper=PAPER,
    mixed_labels=True,
    tells={"length": length},
    tries=(["cross_entropy", "kd", {"kind": "nd", "tap": "vectors"}],),
)
class NormAndDirection(nn.Module):
    """Remember the teacher's class means; reward student features along them."""

    means: Float[Tensor, "classes width"]

    def __init__(self, config: ND):
        super().__init__()
        self.config = config
        self.projector: nn.Module = nn.Identity()
        self.classes: tuple[str, ...] = ()

    def prepare(self, setting: Setting) -> None:
        """Make the projector, where one is needed, and room for the means.

        StageError where there are no classes.
        """
        if not setting.classes:
            message = "nd needs the mean of each class, and this task has none."
            raise StageError(message, "Leave nd out, or take a task with labels.")
        own, wanted = (width_of(setting.shapes[f"{who}_feature"]) for who in ("student", "teacher"))
        if own != wanted:
            self.projector = normed(own, wanted, self.config.dropout)
        self.classes = tuple(setting.classes)
        self.register_buffer("means", torch.zeros(len(self.classes), wanted))

    def fit(self, batches: Iterable[Signals]) -> None:
        """Average the teacher's features by class; StageError names classes without an example."""
        sums = torch.zeros_like(self.means, dtype=torch.float64)
        counts = sums.new_zeros(len(self.classes))
        for signals in batches:
            member = F.one_hot(signals["labels"], len(self.classes)).to(sums)
            sums += member.T @ pooled(signals["teacher_feature"]).to(sums)
            counts += member.sum(0)
        check_seen(counts, self.classes)
        self.means.copy_(sums / counts[:, None])

    def forward(
        self,
        *,
        student_feature: Features,
        teacher_feature: OtherFeatures,
        labels: Labels | ClassShares,
    ) -> PerExample:
        r"""Return $1 - \langle f_s, e_y \rangle / \max(\|f_s\|, \|f_t\|)$, from 0 to 2.

        $e_y$ is the mean of the example's class at unit length, the features are means over their
        places, $f_s$ projected where there is a projector.
        """
        student: Embedding = self.projector(pooled(student_feature.float()))
        mixed = labels.is_floating_point()
        means = labels.to(self.means) @ self.means if mixed else self.means[labels]
        towards = F.normalize(means, dim=-1)
        own = student.norm(dim=-1)
        norm = torch.maximum(own, pooled(teacher_feature.float()).norm(dim=-1))
        return 1 - (student * towards).sum(-1) / norm.clamp(min=SHORTEST)
