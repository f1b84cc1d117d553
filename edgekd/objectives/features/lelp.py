"""Each class in parts that the teacher's embedding shows, and a student that tells them apart.

For few classes, whose soft labels say little. Within each class the strongest directions of the
teacher's embedding, turned, give each example a score for each part; the softmax of the scores
divides the teacher's probability of the class. First is taken out of the embedding what the
teacher's scores say already. It is fitted, and the student is a model `subclasses` with as many
parts: `tap: {student: network, teacher: <what the teacher's head reads>}`. Departs from the paper:
the weights of the teacher's head are found by least squares from what it reads and says, so that
those of units that are never on count as 0, and the scores of a class are divided by their spread
over its own examples, on which no text agrees.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from edgekd.core.config import Config, Positive, Share
from edgekd.core.errors import StageError
from edgekd.core.kinds import objective
from edgekd.core.protocols.training import Setting
from edgekd.core.protocols.values import Signals
from edgekd.core.registry import Paper
from edgekd.ops.classes import check_seen
from edgekd.ops.divergence import divergence
from edgekd.ops.draws import FRACTION_BITS, Draws
from edgekd.ops.features import pooled
from edgekd.ops.projectors import width_of
from edgekd.ops.shapes import Features, Ids, Labels, Logits, OtherFeatures, PerExample

PAPER = Paper(
    "Linear Projections of Teacher Embeddings for Few-Class Distillation",
    "2409.20449",
    "sections 3.1 and 3.2",
)
NOISE = 1e-6
"""Share of the strongest direction's variance below which numbers are rounding."""
LEAST_CHANCE = 0.5 ** (FRACTION_BITS + 1)
"""What stands for a draw of 0, at which the normal distribution has no number."""
Scores = Float[Tensor, "batch parts"]


class LELP(Config):
    """Options of the projections; the paper tunes them by task, these are this project's."""

    temperature: Positive = 1.0
    """Softens the teacher's classes and the student's parts."""
    spread: Positive = 0.5
    """Softens the parts within a class; where it is large all parts are alike."""
    alpha: Share = 0.0
    """Weight of the true labels, of the remainder the teacher; the paper's is 0."""
    null_space: bool = True
    """Whether what the teacher's scores say already is taken out of the embedding first."""
    rotation: Literal["random", "hadamard", "none"] = "random"
    """How the directions of a class are turned into each other, so that none decides alone: by one
    matrix drawn at random; by a Hadamard matrix, after which all vary alike, of 2, 4, 8 ... parts;
    or not at all."""
    by_chance: bool = False
    """Divide each class by chance, an example always alike: what the directions must be better
    than."""


class _Sums(NamedTuple):
    """What is added up over all examples: of each class, and of scores with embeddings."""

    counts: Tensor
    embedding: Tensor
    products: Tensor
    scores: Tensor
    crossed: Tensor


@objective(config=LELP, paper=PAPER, example={"student_feature": (14,)}, teaches="subclasses")
class Projections(nn.Module):
    """Remember the directions of each class."""

    axes: Tensor
    offsets: Tensor
    turn: Tensor

    def __init__(self, config: LELP):
        super().__init__()
        self.config = config

    def prepare(self, setting: Setting) -> None:
        """Make the rotation; StageError where the student's parts do not suit classes or it."""
        shapes, self.names = setting.shapes, [*setting.classes]
        there = shapes["student_feature"][-1]
        self.parts, rest = divmod(there, max(1, len(self.names)))
        if rest or not self.parts or len(shapes["student_feature"]) != 1:
            raise StageError(
                f"what is tapped in the student gives {list(shapes['student_feature'])}, and no "
                f"parts of {len(self.names)} classes.",
                "Let the student's model be {kind: subclasses, of: ..., parts: 4} and tap network.",
            )
        self.width = width_of(shapes["teacher_feature"])
        self.register_buffer("turn", self._turn())
        self.seed = int(torch.randint(2**31, ()))
        self.register_buffer("axes", torch.zeros(self.width, there))
        self.register_buffer("offsets", torch.zeros(there))

    def fit(self, batches: Iterable[Signals]) -> None:
        """Find the directions; StageError where a class or the embedding has too few for them."""
        sums = self._sums(batches)
        check_seen(sums.counts, self.names, least=max(1, self.parts + (self.parts > 1)))
        if self.parts == 1:
            return
        within = self._outside_of_scores(sums) if self.config.null_space else None
        for number, count in enumerate(sums.counts):
            mean = sums.embedding[number] / count
            spread = sums.products[number] / count - mean.outer(mean)
            axes = self._directions(spread if within is None else within @ spread @ within)
            columns = slice(number * self.parts, (number + 1) * self.parts)
            self.axes[:, columns] = axes.float()
            self.offsets[columns] = (mean @ axes).float()

    def forward(
        self,
        *,
        student_feature: Features,
        teacher_feature: OtherFeatures,
        teacher_logits: Logits,
        labels: Labels,
        ids: Ids,
    ) -> PerExample:
        r"""Return $(1-\alpha)\,\tau^2 KL(q \| p) + \alpha CE(y, \sum_s p_{ys})$ per example.

        $q_{cs} = softmax(l/\tau)_c\,softmax_s(z_c / \beta)$ for scores l of the teacher and
        $z_c = U_c^\top (h - \mu_c) / \sigma_c$ of its embedding h; p is the student's.
        """
        found = self._drawn(ids) if self.config.by_chance else self.parts_of(teacher_feature)
        targets = self.targets(found, teacher_logits.float())
        scores = student_feature.float()
        told = F.log_softmax(scores / self.config.temperature, dim=-1)
        taught = divergence(targets, told)
        loss = (1 - self.config.alpha) * self.config.temperature**2 * taught
        if self.config.alpha:
            classes = self._by_class(scores).logsumexp(-1)
            own = F.cross_entropy(classes, labels, reduction="none")
            loss = loss + self.config.alpha * own
        return loss

    def parts_of(self, feature: OtherFeatures) -> Scores:
        """Return how an embedding scores for each part of each class."""
        scores: Scores = pooled(feature.float()) @ self.axes - self.offsets
        return scores

    def targets(self, scores: Scores, logits: Logits) -> Scores:
        """Return the logarithms of what the parts are to be."""
        split = F.log_softmax(self._by_class(scores) / self.config.spread, dim=-1)
        classes = F.log_softmax(logits / self.config.temperature, dim=-1)
        return (classes[..., None] + split).flatten(-2)

    def _drawn(self, ids: Ids) -> Scores:
        """Return scores from the standard normal distribution, the same for an example always."""
        chance = Draws(self.seed, 0, ids).uniform(len(self.offsets))
        scores: Scores = torch.special.ndtri(chance.clamp(min=LEAST_CHANCE))
        return scores

    def _turn(self) -> Tensor:
        """Return an orthonormal matrix, [parts, parts]; StageError where there is none such."""
        if self.config.rotation == "hadamard":
            return _hadamard(self.parts)
        turn = torch.eye(self.parts)
        if self.config.rotation == "random":
            turn = torch.linalg.qr(torch.randn(self.parts, self.parts))[0]
        return turn

    def _by_class(self, scores: Tensor) -> Tensor:
        """Return scores of parts as [batch, classes, parts]."""
        return scores.view(len(scores), len(self.names), self.parts)

    def _sums(self, batches: Iterable[Signals]) -> _Sums:
        classes, zero = len(self.names), self.axes.new_zeros(1, dtype=torch.float64)
        sums = _Sums(
            zero.new_zeros(classes),
            zero.new_zeros(classes, self.width),
            zero.new_zeros(classes, self.width, self.width),
            zero.new_zeros(classes),
            zero.new_zeros(classes, self.width),
        )
        for signals in batches:
            own = pooled(signals["teacher_feature"]).to(zero)
            said = signals["teacher_logits"].to(zero)
            member = F.one_hot(signals["labels"], classes).to(zero)
            sums.counts.add_(member.sum(0))
            sums.embedding.add_(member.T @ own)
            for number in range(classes):
                sums.products[number].addmm_((own * member[:, number, None]).T, own)
            sums.scores.add_(said.sum(0))
            sums.crossed.addmm_(said.T, own)
        return sums

    def _outside_of_scores(self, sums: _Sums) -> Tensor:
        """Return the projection onto what the scores do not depend on, [width, width]."""
        total = sums.counts.sum()
        mean, score = sums.embedding.sum(0) / total, sums.scores / total
        spread = sums.products.sum(0) / total - mean.outer(mean)
        crossed = sums.crossed / total - score.outer(mean)
        weights = crossed @ torch.linalg.pinv(spread, rtol=NOISE, hermitian=True)
        _, strength, rows = torch.linalg.svd(weights, full_matrices=False)
        rows = rows[strength > NOISE**0.5 * strength.max()]
        if self.parts > self.width - len(rows):
            raise StageError(
                f"the teacher's feature is {self.width} wide and its scores depend on {len(rows)} "
                f"directions of it: not {self.parts} are left.",
                f"Give the student parts: {max(1, self.width - len(rows))}, lelp null_space: "
                "false, or tap a wider module of the teacher.",
            )
        outside: Tensor = torch.eye(self.width).to(rows) - rows.T @ rows
        return outside

    def _directions(self, spread: Tensor) -> Tensor:
        """Return the strongest directions, turned, over their common spread, [width, parts].

        The largest number of each direction is positive, so that they are the same every time.
        """
        strength, vectors = torch.linalg.eigh(spread)
        strongest = vectors[:, -self.parts :].flip(1)
        largest = strongest.gather(0, strongest.abs().argmax(0, keepdim=True))
        deviation = strength[-self.parts :].clamp(min=0).mean().sqrt()
        turned = (strongest * largest.sign()) @ self.turn.to(strongest)
        axes: Tensor = turned / deviation.clamp(min=torch.finfo(deviation.dtype).tiny)
        return axes


def _hadamard(size: int) -> Tensor:
    """Return Sylvester's matrix of so many rows, of length 1; StageError of no power of 2."""
    if size & (size - 1):
        raise StageError(
            f"no Hadamard matrix is made for {size} parts, which are no power of 2.",
            "Give the student parts: 2, 4 or 8, or lelp rotation: random.",
        )
    rows = torch.ones(1, 1)
    while len(rows) < size:
        rows = torch.kron(rows, torch.tensor([[1.0, 1.0], [1.0, -1.0]]))
    turn: Tensor = rows / size**0.5
    return turn
