"""Plackett-Luce distillation: teach the teacher's ranking of the classes, one choice at a time.

The student ranks the classes as a sequence of choices without replacement. The target ranking puts
the true class first and the others by falling teacher score; each choice counts as much as the
teacher believes in the class that is chosen. The label is the first choice, so no cross-entropy
belongs beside it. Where the teacher is certain of a wrong class the label counts next to nothing:
that is the paper's definition, and what its softer temperatures are for. How much it counts on the
mean stands in the history (`pld.label_weight`). Of an example without a label (`train.labelled`)
the ranking is the teacher's own.
"""

from math import log
from typing import Literal

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from edgekd.core.config import Config, Positive
from edgekd.core.errors import StageError
from edgekd.core.kinds import objective
from edgekd.core.registry import Paper
from edgekd.ops.shapes import Logits, PerExample

PAPER = Paper(
    "PLD: A Choice-Theoretic List-Wise Knowledge Distillation", "2506.12542", "appendix C"
)
Order = Int[Tensor, "*batch classes"]
Ranked = Shaped[Tensor, "..."]
"""Labels, one class per example; what is none is refused with words."""


class PLD(Config):
    """Options of the ranking's likelihood."""

    temperature: Positive = 1.0
    """Softens the teacher's beliefs that weight the choices, and nothing else: the student's scores
    stay as they are. The paper has 1 for ImageNet and 4 for CIFAR-100; teachers that learned from
    little data are too certain of themselves and want 2 to 4."""
    weights: Literal["teacher", "uniform", "ce", "fixed"] = "teacher"
    """What a choice counts: the teacher's belief in its class; the same for all (ListMLE); the
    first alone, which is cross-entropy; or 2^(classes - k) - 1 for the k-th (P-ListMLE)."""


def label_weight(config: PLD, *, teacher_logits: Logits, labels: Ranked, **_: Tensor) -> PerExample:
    """Return what the first choice counts, in [0, 1]."""
    beliefs = teacher_logits.detach().float()
    return _weights(config, beliefs, _order(beliefs, labels)).expand_as(beliefs)[..., 0]


@objective(
    config=PLD,
    paper=PAPER,
    unlabelled=True,
    tells={"label_weight": label_weight},
    tries=(["pld"], [{"kind": "pld", "temperature": 4}]),
)
def pld(
    config: PLD, *, student_logits: Logits, teacher_logits: Logits, labels: Ranked
) -> PerExample:
    r"""Return $\sum_k w_k [\log\sum_{l \ge k} e^{s_{\pi_l}} - s_{\pi_k}]$ per example, in float32.

    $\pi$ is the target ranking, $w_k = q_{\pi_k}$ the teacher's softened belief; the weights sum to
    1 and carry no gradient. A label below 0 is none: the teacher's likeliest class comes first.
    StageError where labels are not one class per example.
    """
    _check_hard(labels, student_logits)
    beliefs = teacher_logits.detach().float()
    order = _order(beliefs, labels)
    scores = student_logits.float().gather(-1, order)
    still_available = scores.flip(-1).logcumsumexp(-1).flip(-1)
    return (_weights(config, beliefs, order) * (still_available - scores)).sum(-1)


def _order(beliefs: Logits, labels: Ranked) -> Order:
    """Return the true class, or the likeliest, then the rest from most to least believed."""
    known = labels.where(labels >= 0, beliefs.argmax(-1))
    first = beliefs.scatter(-1, known[..., None], float("inf"))
    return first.argsort(dim=-1, descending=True, stable=True)


def _weights(config: PLD, beliefs: Logits, order: Order) -> Tensor:
    """Return what each choice counts, [*batch, classes] or [classes]; they sum to 1."""
    classes = beliefs.shape[-1]
    if config.weights == "teacher":
        return (beliefs / config.temperature).softmax(-1).gather(-1, order)
    if config.weights == "uniform":
        return torch.full_like(beliefs[..., :1], 1 / classes)
    later = torch.arange(classes - 1, -1, -1, device=beliefs.device, dtype=beliefs.dtype)
    if config.weights == "ce":
        return (later == classes - 1).to(beliefs)
    # by their logarithms: 2^later is no number where there are many classes
    return (later * log(2) + torch.log1p(-torch.exp2(-later))).softmax(-1)


def _check_hard(labels: Ranked, logits: Logits) -> None:
    """Raise StageError where labels are mixed or softened: no class of theirs comes first."""
    if labels.is_floating_point() or labels.shape != logits.shape[:-1]:
        found = f"{str(labels.dtype).removeprefix('torch.')} {list(labels.shape)}"
        raise StageError(
            f"pld ranks the true class first and needs one class per example, an integer "
            f"{list(logits.shape[:-1])}; the labels are {found}.",
            "Leave out what mixes or softens the labels, or take kd beside cross_entropy.",
        )
