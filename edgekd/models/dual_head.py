"""Another model with two heads on its features: one learns the labels, one learns the teacher.

The last linear layer that gives the classes makes way for two. What is handed on and exported is
one program: the logarithm of the two heads' probabilities, blended, which stands for `logits`. How
they are blended is fitted to the validation split when training is over, and is a constant of the
program. Train it with the objective `dho`, tapped at `both` inside of the new head: `head.both`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from edgekd.core.config import Positive, Share
from edgekd.core.kinds import model
from edgekd.core.protocols.values import Batch
from edgekd.core.refs import UseModel
from edgekd.core.registry import Paper
from edgekd.core.signature import Signature
from edgekd.models.inner import Around, check_inner, classifier_of, settled_around
from edgekd.ops.named import call_by_name
from edgekd.ops.shapes import Labels, Logits

PAPER = Paper(
    "Simple yet Effective Semi-supervised Knowledge Distillation from Vision-Language Models via "
    "Dual-Head Optimization",
    "2505.07675",
    "its inference",
)
SHARES = tuple(step / 20 for step in range(21))
TEMPERATURES = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 4.0)
"""What is tried of both, as the authors have it: of equally good ones the first is taken."""
LEAST = 1e-30
"""Of a probability: its logarithm stays finite."""

Heads = Float[Tensor, "batch heads classes"]


class DualHead(Around):
    """Whose features, and how the heads are blended."""

    of: UseModel
    """The model, as `{kind: depthwise, width: 32}`: one that ends in a linear layer."""
    share: Share = 0.5
    """What the head of the labels counts, the other one the rest, before it is fitted."""
    temperature: Positive = 1.0
    """Softens the head of the teacher, before it is fitted."""
    length: Positive | None = None
    """Give the features this length before the head of the teacher reads them, which then tells
    directions alone; the authors have 100 on ImageNet, where the teacher compares with texts."""
    fit: bool = True
    """Fit both on the validation split when training is over; else they stay as they are."""


def calibrate(
    config: DualHead, module: nn.Module, signature: Signature, batches: Iterable[Batch]
) -> Mapping[str, Any]:
    """Fit the blend to batches with `labels`, where the options ask for it, and return it."""
    head = next(part for part in module.modules() if isinstance(part, BlendedHead))
    if config.fit:
        given: list[Heads] = []
        labels = []
        hook = head.both.register_forward_hook(lambda _module, _inputs, both: given.append(both))
        try:
            for batch in batches:
                call_by_name(module, signature, batch)
                labels.append(batch["labels"])
        finally:
            hook.remove()
        share, temperature = best_blend(torch.cat(given), torch.cat(labels))
        head.share.fill_(share)
        head.temperature.fill_(temperature)
    return {"blend": {"share": head.share.item(), "temperature": head.temperature.item()}}


@model(config=DualHead, paper=PAPER, settle=settled_around, check=check_inner, calibrate=calibrate)
def dual_head(config: DualHead, signature: Signature) -> nn.Module:
    """Return the model with a head that blends two in the place of its own.

    ValueError where it ends in no linear layer of the classes.
    """
    outputs = [port.name for port in signature.outputs]
    if outputs != ["logits"]:
        raise ValueError(f"it gives logits alone, and this task wants {' and '.join(outputs)}")
    network: nn.Module = config.of.build()(signature)
    classes, kind = int(signature.outputs[0].shape[-1]), config.of.kind
    found = classifier_of(network, classes)
    if found is None:
        raise ValueError(f"{kind} ends in no linear layer that gives {classes} classes")
    path, last = found
    network.set_submodule(path, BlendedHead(config, last.in_features, classes))
    return network


class TwoHeads(nn.Module):
    """Two linear layers side by side: the first for the labels, the second for the teacher."""

    def __init__(self, width: int, classes: int, length: float | None):
        super().__init__()
        self.labels = nn.Linear(width, classes)
        self.teacher = nn.Linear(width, classes)
        self.length = length

    def forward(self, feature: Float[Tensor, "batch width"]) -> Heads:
        """Return the scores of both."""
        read = feature if self.length is None else self.length * F.normalize(feature, dim=-1)
        return torch.stack((self.labels(feature), self.teacher(read)), 1)


class BlendedHead(nn.Module):
    """Two heads and their blend."""

    share: Tensor
    temperature: Tensor

    def __init__(self, config: DualHead, width: int, classes: int):
        super().__init__()
        self.both = TwoHeads(width, classes, config.length)
        self.register_buffer("share", torch.tensor(config.share))
        self.register_buffer("temperature", torch.tensor(config.temperature))

    def forward(self, feature: Float[Tensor, "batch width"]) -> Logits:
        """Return the logarithm of the blended probabilities."""
        probs = blended(self.both(feature), self.share, self.temperature)
        return probs.clamp(min=LEAST).log()


def blended(heads: Heads, share: Tensor | float, temperature: Tensor | float) -> Logits:
    r"""Return $a\,softmax(h_1) + (1 - a)\,softmax(h_2 / b)$, a the share and b the temperature."""
    first, second = heads.unbind(1)
    return share * first.softmax(-1) + (1 - share) * (second / temperature).softmax(-1)


def best_blend(heads: Heads, labels: Labels) -> tuple[float, float]:
    """Return the share and temperature with the most right answers, each head alone included."""
    best, found = -1, (0.0, 1.0)
    for temperature in TEMPERATURES:
        for share in SHARES:
            right = int((blended(heads, share, temperature).argmax(-1) == labels).sum())
            if right > best:
                best, found = right, (share, temperature)
    return found
