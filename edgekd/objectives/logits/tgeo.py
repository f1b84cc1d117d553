"""Teacher or label, example by example: the share of each is learned from how the four answers lie.

A small network sees what the student, the teacher, the label and the teacher's mean over the class
of the label say, and how far apart these are, and gives the teacher's share. It learns on examples
held out of training: a step of the student by the shared loss is tried, and the share moves to
where that step would lower the cross-entropy of the held-out labels (one step unrolled). In the
authors' released code no gradient arrives at that network, so this outer step is this project's
reading of the paper's bilevel problem. No cross-entropy belongs beside it. The student is
differentiated twice; `inner_params: head` does so with its last layer alone.
"""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from edgekd.core.config import Config, NonNegative, Positive, PositiveCount
from edgekd.core.errors import StageError
from edgekd.core.kinds import objective
from edgekd.core.protocols.training import Setting
from edgekd.core.protocols.values import Signals
from edgekd.core.registry import Paper
from edgekd.core.study import Study
from edgekd.ops.divergence import divergence
from edgekd.ops.shapes import Labels, Logits, PerExample

PAPER = Paper(
    "Less or More From Teacher: Exploiting Trilateral Geometry For Knowledge Distillation",
    "2312.15112",
    "its fusion ratio",
)
PARTS = 9
"""Vectors over the classes that the network sees: four answers, five differences."""
QUIET = 0.1
"""Factor of the last layer's first weights: every share begins near one half."""

Seen = Float[Tensor, "*batch seen"]


class TGeo(Config):
    """Options of the learned share."""

    temperature: Positive = 2.0
    """Softens teacher and student in the divergence, which is multiplied by its square."""
    differences: Literal["squared", "absolute"] = "squared"
    """Of what two of them say of each class, as the network that gives the share sees them; the
    authors' code has had both."""
    widths: tuple[PositiveCount, ...] = (32, 16)
    """Of the hidden layers of the network that gives the share."""
    learning_rate: Positive = 0.01
    """Of that network, by Adam; 0.001 for many classes."""
    weight_decay: NonNegative = 1e-4
    """Of that network."""
    outer_every: PositiveCount = 2
    """Steps of the student for one of that network; more saves time."""
    virtual_rate: Positive = 0.1
    """Learning rate of the plain step that is tried to see what a share would do."""
    inner_params: Literal["all", "head"] = "all"
    """What that step moves: the student, or its last layer alone, which costs less."""


@objective(config=TGeo, paper=PAPER, held_out=True, tries=(["tgeo"],))
class TrilateralFusion(nn.Module):
    """Remember the teacher's class means; learn the share of each example."""

    class_means: Float[Tensor, "classes classes"]

    def __init__(self, config: TGeo):
        super().__init__()
        self.config = config

    def prepare(self, setting: Setting) -> None:
        """Make the network and room for the means."""
        classes = setting.shapes["teacher_logits"][-1]
        widths = [PARTS * classes, *self.config.widths]
        layers: list[nn.Module] = []
        for inside, outside in pairwise(widths):
            layers += [nn.Linear(inside, outside), nn.LeakyReLU()]
        last = nn.Linear(widths[-1], 1)
        with torch.no_grad():
            last.weight.mul_(QUIET)
            last.bias.zero_()
        self.fusion = nn.Sequential(*layers, last)
        self.register_buffer("class_means", torch.full((classes, classes), 1 / classes))

    def fit(self, batches: Iterable[Signals]) -> None:
        """Find the mean of the teacher's probabilities over the examples of each class."""
        classes = len(self.class_means)
        sums = self.class_means.new_zeros(classes, classes, dtype=torch.float64)
        counts = sums.new_zeros(classes, 1)
        for signals in batches:
            said = signals["teacher_logits"].double().softmax(-1).reshape(-1, classes)
            member = F.one_hot(signals["labels"].reshape(-1).long(), classes).double()
            sums, counts = sums + member.T @ said, counts + member.sum(0)[:, None]
        means = torch.where(counts > 0, sums / counts.clamp(min=1), 1 / classes)
        self.class_means.copy_(means)

    def own_optimizer(self) -> torch.optim.Optimizer:
        """Return Adam over the network."""
        rate, decay = self.config.learning_rate, self.config.weight_decay
        return torch.optim.Adam(self.fusion.parameters(), lr=rate, weight_decay=decay)

    def forward(
        self, *, student_logits: Logits, teacher_logits: Logits, labels: Labels
    ) -> PerExample:
        r"""Return $\alpha T^2 KL(t \| s) + (1 - \alpha) CE(s, y)$, alpha in (0, 1) per example.

        The divergence is softened by T. Alpha has no gradient.
        """
        with torch.no_grad():
            alpha = self.share(student_logits, teacher_logits, labels)
        return self.fused(alpha, student_logits, teacher_logits, labels)

    def after_step(self, study: Study) -> None:
        """Move the share to where a step of the student lowers the loss of held-out examples.

        StageError where the student cannot be differentiated twice.
        """
        if study.step % self.config.outer_every:
            return
        batch, labels = study.batch, study.batch["labels"]
        with torch.no_grad():
            teacher = study.teacher(batch)["logits"]
        own = self.moving(study.parameters)
        student = study.student(batch, own)["logits"]
        alpha = self.share(student, teacher, labels)
        moved = self.stepped(own, self.fused(alpha, student, teacher, labels).mean())
        held = study.held_out()
        score = F.cross_entropy(study.student(held, moved)["logits"].movedim(-1, 1), held["labels"])
        try:
            study.learn(score)
        except RuntimeError as error:
            if "not implemented" not in str(error):
                raise
            raise StageError(
                f"a layer of this student cannot be differentiated twice: {error}",
                "Give tgeo inner_params: head, which asks that of the last layer alone.",
            ) from error
        self._note(study, alpha.detach(), teacher.argmax(-1) == labels)

    def share(self, student: Logits, teacher: Logits, labels: Labels) -> PerExample:
        """Return the teacher's share; its gradient goes to the network alone."""
        alpha: Tensor = self.fusion(self.features(student, teacher, labels))
        return alpha[..., 0].sigmoid()

    def features(self, student: Logits, teacher: Logits, labels: Labels) -> Seen:
        """Return the four answers and their differences without a sign, [*batch, 9 classes]."""
        s, t = (x.detach().to(self.class_means).softmax(-1) for x in (student, teacher))
        g, m = F.one_hot(labels.long(), s.shape[-1]).to(s), self.class_means[labels.long()]
        apart = [m - s, g - s, t - s, t - g, m - g]
        sign_off = torch.square if self.config.differences == "squared" else torch.abs
        return torch.cat([s, t, g, m, *map(sign_off, apart)], -1)

    def fused(
        self, alpha: PerExample, student: Logits, teacher: Logits, labels: Labels
    ) -> PerExample:
        """Return the divergence and the cross-entropy, shared out."""
        heat = self.config.temperature
        wide = torch.promote_types(student.dtype, torch.float32)
        own, told = student.to(wide), teacher.detach().to(wide)
        soft = divergence((told / heat).log_softmax(-1), (own / heat).log_softmax(-1))
        hard = F.cross_entropy(own.movedim(-1, 1), labels.long(), reduction="none")
        return alpha * heat**2 * soft + (1 - alpha) * hard

    def moving(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return copies of what the tried step moves."""
        last = [*parameters][-1].rpartition(".")[0]
        chosen = {
            name: value
            for name, value in parameters.items()
            if self.config.inner_params == "all" or name.rpartition(".")[0] == last
        }
        return {name: value.clone().requires_grad_() for name, value in chosen.items()}

    def stepped(self, own: Mapping[str, Tensor], loss: Tensor) -> dict[str, Tensor]:
        """Return parameters after a plain step, as a function of the shares."""
        slopes = torch.autograd.grad(loss, [*own.values()], create_graph=True, allow_unused=True)
        rate = self.config.virtual_rate
        return {
            name: value if slope is None else value - rate * slope
            for (name, value), slope in zip(own.items(), slopes, strict=True)
        }

    def _note(self, study: Study, alpha: PerExample, agrees: Tensor) -> None:
        """Have the shares stand in the history: all, their spread, and by the teacher's answer."""
        study.note(alpha=alpha.mean(), alpha_spread=alpha.std(correction=0))
        for name, rows in (("alpha_agrees", agrees), ("alpha_differs", ~agrees)):
            if rows.any():
                study.note(**{name: alpha[rows].mean()})
