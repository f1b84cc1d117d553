"""A fully connected network: whatever the input's shape, one vector; for small or tabular data."""

from itertools import pairwise
from math import prod

from torch import Tensor, nn

from edgekd.core.config import Config, PositiveCount
from edgekd.core.kinds import model
from edgekd.core.signature import Signature


class MLP(Config):
    """Its layers."""

    widths: tuple[PositiveCount, ...] = (64,)
    """Of the hidden layers, each followed by ReLU; none leaves a linear classifier."""


@model(config=MLP)
def mlp(config: MLP, signature: Signature) -> nn.Module:
    """Return the network; ValueError of more than one input or output, or one of whole numbers."""
    if len(signature.inputs) > 1 or len(signature.outputs) > 1:
        raise ValueError("it takes one input and gives one output")
    (given,), (wanted,) = signature.inputs, signature.outputs
    if not given.dtype.startswith("float"):
        raise ValueError(f"its input is numbers, and {given.name} is choices")
    inside = prod(given.concrete()[1:])
    return Layers([inside, *config.widths], prod(wanted.concrete()[1:]))


class Layers(nn.Module):
    """Hidden layers, `body`, and the last one, `head`."""

    def __init__(self, widths: list[int], outputs: int):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten())
        for inside, outside in pairwise(widths):
            self.body.append(nn.Linear(inside, outside)).append(nn.ReLU())
        self.head = nn.Linear(widths[-1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores [batch, outputs]."""
        scores: Tensor = self.head(self.body(x))
        return scores
