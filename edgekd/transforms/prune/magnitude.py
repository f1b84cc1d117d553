"""Single weights removed: the smallest become zero, wherever they stand.

The zeros stay zeros in every `distill` stage that goes on from the model. They make it smaller
when it is compressed; no runtime here computes it any faster. For that, use channels.
"""

import copy
from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from edgekd.core.config import Config, Share
from edgekd.core.kinds import transform
from edgekd.core.protocols.values import Batch
from edgekd.core.registry import Paper
from edgekd.core.signature import Signature
from edgekd.transforms.in_steps import Masks
from edgekd.transforms.masks import maskable
from edgekd.transforms.paths import check_paths

PAPER = Paper("Learning both Weights and Connections for Efficient Neural Networks", "1506.02626")


class Magnitude(Config):
    """How many weights go, and which are spared."""

    ratio: Share
    """Share of the weights of convolutions and linear layers that becomes zero."""
    scope: Literal["layer", "global"] = "global"
    """The same ratio in each layer, or one ranking over all layers."""
    exclude: tuple[str, ...] = ()
    """Module paths whose weights stay, as `named_modules()` spells them."""


def partly(config: Magnitude, share: float) -> Magnitude:
    """Return the options that set a share of those weights to zero."""
    return config.model_copy(update={"ratio": config.ratio * share})


@transform(config=Magnitude, paper=PAPER, purpose="prune", masks=True, in_steps=Masks(partly))
def magnitude(
    config: Magnitude,
    model: nn.Module,
    *,
    signature: Signature,  # noqa: ARG001
    batches: Sequence[Batch],  # noqa: ARG001
) -> nn.Module:
    """Return a copy of the model with its smallest weights zero; no example is looked at.

    RequestError where `exclude` names no module.
    """
    check_paths(config.exclude, model)
    sparse = copy.deepcopy(model)
    weights = [*maskable(sparse, config.exclude).values()]
    groups = [weights] if config.scope == "global" else [[weight] for weight in weights]
    for group in groups:
        sizes = torch.cat([weight.abs().flatten() for weight in group])
        gone = torch.zeros_like(sizes, dtype=torch.bool)
        gone[sizes.argsort(stable=True)[: round(len(sizes) * config.ratio)]] = True
        for weight, part in zip(group, torch.split(gone, [w.numel() for w in group]), strict=True):
            weight[part.view_as(weight)] = 0
    return sparse
