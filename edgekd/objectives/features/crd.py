"""The student's and the teacher's view of one example drawn together, away from other classes.

Two linear layers bring both features to one width and unit length. What they gave last of every
training example is remembered, so that each example is told from thousands of others: of other
classes, as the authors' exact sampling has them. It is fitted, which tells the class of every
example. What is drawn belongs to an example and a step, and what is remembered is shared by all
processes. Departs from the authors' code: all scores are computed and then the negatives taken
from them, which gives the same and needs less memory, and the density is normalised over all
examples of the first batch.
"""

from collections.abc import Iterable
from math import log, sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from edgekd.core.config import Config, Positive, PositiveCount, Share
from edgekd.core.errors import StageError
from edgekd.core.kinds import objective
from edgekd.core.protocols.training import Setting
from edgekd.core.protocols.values import Signals
from edgekd.core.registry import Paper
from edgekd.ops.contrast import ByClass, noise_contrastive, remembered
from edgekd.ops.draws import Draws
from edgekd.ops.features import pooled
from edgekd.ops.projectors import width_of
from edgekd.ops.shapes import Features, Ids, Labels, OtherFeatures, PerExample
from edgekd.parallel.group import group

PAPER = Paper("Contrastive Representation Distillation", "1910.10699", "equations 10 and 18")
SIDES = ("student", "teacher")


class CRD(Config):
    """Options of the contrast; the weight that belongs to it is 0.8 in the authors' code."""

    width: PositiveCount = 128
    """Of the space in which both are compared."""
    negatives: PositiveCount = 16384
    """Examples of other classes that each is told from; they may come again."""
    temperature: Positive = 0.07
    """Divides the cosines."""
    keep: Share = 0.5
    """What remains of the remembered vector of an example when it is seen again."""


@objective(
    config=CRD,
    paper=PAPER,
    tries=(["cross_entropy", {"kind": "crd", "weight": 0.8, "negatives": 1024, "tap": "vectors"}],),
)
class Contrast(nn.Module):
    """Learn the two layers, and remember what they gave."""

    labels: Tensor
    log_total: Tensor
    steps: Tensor

    def __init__(self, config: CRD):
        super().__init__()
        self.config = config
        self._by_class: ByClass | None = None

    def prepare(self, setting: Setting) -> None:
        """Make the layers, and a memory of both sides for every training example."""
        self.classes, width = len(setting.classes), self.config.width
        edge = sqrt(3 / width)
        for who in SIDES:
            own = width_of(setting.shapes[f"{who}_feature"])
            self.add_module(f"of_{who}", nn.Linear(own, width))
            drawn = torch.empty(setting.examples, width).uniform_(-edge, edge)
            self.register_buffer(f"seen_by_{who}", drawn)
        self.register_buffer("labels", torch.zeros(setting.examples, dtype=torch.int64))
        self.register_buffer("log_total", torch.full((2,), torch.nan))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def fit(self, batches: Iterable[Signals]) -> None:
        """Note the class of every example; StageError where there is only one."""
        for signals in batches:
            self.labels[signals["ids"]] = signals["labels"]
        if (self.labels == self.labels[0]).all():
            raise StageError(
                "all training examples are of one class: there is nothing to tell them from.",
                "Leave crd out, or add examples of another class.",
            )

    def forward(
        self,
        *,
        student_feature: Features,
        teacher_feature: OtherFeatures,
        labels: Labels,
        ids: Ids,
    ) -> PerExample:
        r"""Return $-\log h(+) - \sum_{k} \log(1 - h(-_k))$ of both sides added, per example.

        $h = p / (p + K / N)$ for K negatives and N examples, $p = e^{\cos / \tau} / Z$; the cosine
        is that of one side's vector with what is remembered of the other side.
        """
        own = self._vectors(student_feature, teacher_feature)
        chosen = self._chosen(labels, ids)
        scores = [
            (mine @ seen.T / self.config.temperature).gather(1, chosen)
            for mine, seen in zip(own, self._seen_by_others(), strict=True)
        ]
        self._normalise(scores)
        log_noise = log(self.config.negatives / len(self.labels))
        losses = [
            noise_contrastive(density[:, 0], density[:, 1:], log_noise)
            for density in (s - total for s, total in zip(scores, self.log_total, strict=True))
        ]
        self._remember(own, ids)
        return losses[0] + losses[1]

    def _vectors(self, student: Tensor, teacher: Tensor) -> list[Tensor]:
        """Return both sides in the common space, each [batch, width] of unit length."""
        return [
            F.normalize(self.get_submodule(f"of_{who}")(pooled(feature.float())), dim=1)
            for who, feature in zip(SIDES, (student, teacher), strict=True)
        ]

    def _seen_by_others(self) -> list[Tensor]:
        """Return what is remembered of the other side, for each; as it is before this step."""
        return [self.get_buffer(f"seen_by_{who}").clone() for who in reversed(SIDES)]

    def _chosen(self, labels: Labels, ids: Ids) -> Tensor:
        """Return the example itself and its negatives for this step, [batch, 1 + negatives]."""
        if self._by_class is None:
            self._by_class = ByClass(self.labels, self.classes)
        draws = Draws(0, 0, ids + self.steps * len(self.labels))
        others = self._by_class.others(draws, labels, self.config.negatives)
        return torch.cat([ids[:, None], others], 1)

    def _normalise(self, scores: list[Tensor]) -> None:
        """Set the totals of both densities by the first batch, that of all processes."""
        with torch.no_grad():
            means = {str(n): score.exp().mean() for n, score in enumerate(scores)}
            every, _ = group().mean(means, len(scores[0]))
            first = torch.stack([*every.values()]).log() + log(len(self.labels))
            self.log_total.copy_(torch.where(self.log_total.isnan(), first, self.log_total))

    def _remember(self, own: list[Tensor], ids: Ids) -> None:
        """Remember what all processes saw in this step."""
        everyone = group().gathered(ids)
        for who, mine in zip(SIDES, own, strict=True):
            seen, bank = group().gathered(mine.detach()), self.get_buffer(f"seen_by_{who}")
            bank.index_copy_(0, everyone, remembered(bank, everyone, seen, self.config.keep))
        self.steps += 1
