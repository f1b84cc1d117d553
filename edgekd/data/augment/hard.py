"""Learn changes of pictures on which the student differs from its teacher, who answers as before.

A small network sees each picture and some chance and gives numbers of an affine map, of colours, of
a mask for another picture: the student learns what it does not know yet, as a shift that it never
saw. Phases take turns: the changes learn until student and teacher agree too seldom, then the
student alone until they agree again. Part of each batch stays as it is. The source read was the
abstract; objective and phases follow its idea and are this project's. Labels, where a term asks for
them, stay those of the pictures as they were.
"""

from collections.abc import Iterator
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from edgekd.core.config import Config, NonNegative, Positive, PositiveCount, Share
from edgekd.core.errors import Problem
from edgekd.core.kinds import augment
from edgekd.core.protocols.task import Task
from edgekd.core.protocols.training import Setting
from edgekd.core.protocols.values import Batch
from edgekd.core.registry import Paper
from edgekd.core.study import Study
from edgekd.ops.divergence import divergence
from edgekd.ops.draws import Draws
from edgekd.ops.mixing import lowest, ring
from edgekd.ops.picture_changes import Pictures, masked, recoloured, warped
from edgekd.ops.shapes import Logits

PAPER = Paper("HARD: Hard Augmentations for Robust Distillation", "2305.14890", "its idea")
SIDE, HIDDEN = 4, 32
"""Places that a picture is averaged to before the network sees it, a side, and its hidden width."""
QUIET = 0.1
"""Factor of the last layer's first weights: changes begin small, and not exactly at none."""
RARELY = -3.0
"""First score of another picture's share: it begins at a twentieth of what it may be."""
AFFINE = 6


class HardOptions(Config):
    """What may change, how far, and who decides when."""

    changes: tuple[Literal["affine", "color", "mix"], ...] = ("affine",)
    """One after the other: affine maps; gain, bias and power of each channel; another picture of
    the batch through a mask, whose share is one half at most."""
    share: Share = 0.5
    """Of each batch that is changed, rounded to whole examples; the others stay clean."""
    mode: Literal["disagree", "consistency"] = "disagree"
    """Whether student and teacher are to differ on the changed picture, or the student from what it
    said of the picture as it was."""
    teacher_weight: NonNegative = 1.0
    """Of the divergence between the teacher's answers to both: it keeps pictures meaningful."""
    student_weight: NonNegative = 1.0
    """Of the divergence that is sought."""
    cap: Positive = 5.0
    """Most nats of it that count, an example."""
    low: Share = 0.7
    """The changes learn until student and teacher agree on less than this share."""
    high: Share = 0.85
    """And again once they agree on more."""
    most_steps: PositiveCount = 5
    """Of the changes, for one of the student."""
    learning_rate: Positive = 0.01
    """Of the changes, by Adam; 0.001 for real pictures."""
    stretch: NonNegative = 0.3
    """Largest change of scale and shear, and of gain, bias and the logarithm of the power."""
    shift: NonNegative = 0.6
    """Largest shift, in halves of the picture's width and height."""
    fill: Literal["edge", "zero"] = "edge"
    """What comes in from outside: the border again, or the mean colour."""
    noise: PositiveCount = 8
    """Numbers of chance that the network sees beside a picture."""

    @model_validator(mode="after")
    def _in_order(self) -> "HardOptions":
        if self.low >= self.high:
            raise ValueError(f"low ({self.low:g}) must be below high ({self.high:g})")
        return self


def check(_config: HardOptions, task: Task) -> Iterator[Problem]:
    """Yield that there are no scores on which two networks could agree."""
    if "logits" not in {port.name for port in task.signature().outputs}:
        message = "hard compares answers of classes; this task has none."
        yield Problem("", message, "Leave it out.")


@augment(config=HardOptions, paper=PAPER, check=check, changes="image", teacher=True)
class Hard(nn.Module):
    """Learn the changes; remember whose turn it is."""

    hardening: Tensor

    def __init__(self, config: HardOptions):
        super().__init__()
        self.config = config
        self.register_buffer("hardening", torch.tensor(True))

    def prepare(self, setting: Setting) -> None:
        """Make a network for each change."""
        channels = setting.shapes["image"][0]
        sizes = {"affine": AFFINE, "color": 3 * channels, "mix": SIDE**2}
        inside = channels * SIDE**2 + self.config.noise
        self.networks = nn.ModuleList(_network(inside, sizes[c]) for c in self.config.changes)
        for change, network in zip(self.config.changes, self.networks, strict=True):
            if change == "mix":
                nn.init.constant_(network[-1].bias, RARELY)  # type: ignore[index]

    def own_optimizer(self) -> torch.optim.Optimizer:
        """Return Adam over the networks."""
        return torch.optim.Adam(self.networks.parameters(), lr=self.config.learning_rate)

    def forward(self, batch: Batch, draws: Draws) -> Batch:
        """Return the batch with a part of `image` [n, channels, height, width] changed."""
        image, keys = batch["image"], draws.uniform()
        chosen = lowest(keys, round(self.config.share * len(keys)))
        changed = self.changed(image, draws)
        return batch | {"image": torch.where(chosen[:, None, None, None], changed, image)}

    def after_step(self, study: Study) -> None:
        """Let the changes learn while it is their turn, and note how often networks agree."""
        image = study.plain["image"]
        with torch.no_grad():
            student, teacher = (
                ask(study.plain)["logits"] for ask in (study.student, study.teacher)
            )
        for step in range(self.config.most_steps + 1):
            changed = study.plain | {"image": self.changed(image, study.draws)}
            own, told = study.student(changed)["logits"], study.teacher(changed)["logits"]
            agreement = _agreement(own, told)
            if not step:
                kept = _agreement(told, teacher)
                study.note(agreement=agreement, clean=_agreement(student, teacher), kept=kept)
            self.turn(float(agreement))
            if not self.hardening or step == self.config.most_steps:
                return
            study.learn(self.loss(teacher, told, student, own))

    def turn(self, agreement: float) -> None:
        """Take turns: the changes stop below `low`, and begin again above `high`."""
        bounds = self.config.low, self.config.high
        goes_on = agreement >= bounds[0] if self.hardening else agreement > bounds[1]
        self.hardening.fill_(goes_on)

    def loss(self, teacher: Logits, told: Logits, student: Logits, own: Logits) -> Tensor:
        r"""Return $\lambda_t KL(t(x) \| t(x')) - \lambda_s \min(KL(\cdot \| s(x')), cap)$, a mean.

        The second is from t(x'), in mode `consistency` from s(x). Of all four what they score:
        `teacher` x, `told` x', `student` x, `own` x'.
        """
        sought = told if self.config.mode == "disagree" else student
        kept = divergence(teacher.log_softmax(-1), told.log_softmax(-1))
        apart = divergence(sought.log_softmax(-1), own.log_softmax(-1))
        apart = apart.clamp(max=self.config.cap)
        found = self.config.teacher_weight * kept - self.config.student_weight * apart
        return found.mean()

    def changed(self, image: Pictures, draws: Draws) -> Pictures:
        """Return all pictures changed, each by its own numbers."""
        for change, network in zip(self.config.changes, self.networks, strict=True):
            chance = 2 * draws.uniform(self.config.noise) - 1
            seen = F.adaptive_avg_pool2d(image, SIDE).flatten(1)
            numbers = network(torch.cat((seen, chance.to(seen)), 1))
            image = self._by(change, image, numbers, draws)
        return image

    def _by(
        self, change: str, image: Pictures, numbers: Float[Tensor, "batch outputs"], draws: Draws
    ) -> Pictures:
        """Return pictures after one change."""
        if change == "mix":
            share = numbers.sigmoid().reshape(-1, SIDE, SIDE) / 2
            return masked(image, image[ring(draws.uniform())], share)
        bounded = numbers.tanh()
        if change == "color":
            gain, bias, power = (self.config.stretch * bounded).chunk(3, 1)
            return recoloured(image, 1 + gain, bias, power.exp())
        offset = bounded.reshape(-1, 2, 3)
        most = offset.new_tensor([self.config.stretch, self.config.stretch, self.config.shift])
        maps = torch.eye(2, 3, device=offset.device, dtype=offset.dtype) + most * offset
        return warped(image, maps, edge=self.config.fill == "edge")


def _network(inside: int, outside: int) -> nn.Sequential:
    """Return a small network whose outputs begin near 0."""
    last = nn.Linear(HIDDEN, outside)
    with torch.no_grad():
        last.weight.mul_(QUIET)
        last.bias.mul_(QUIET)
    return nn.Sequential(nn.Linear(inside, HIDDEN), nn.ReLU(), last)


def _agreement(one: Logits, other: Logits) -> Tensor:
    """Return the share of examples on which both choose the same class."""
    return (one.argmax(-1) == other.argmax(-1)).float().mean()
