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
    pool: PositiveCount = 1
    """Of a picture, the side in pixels of the squares whose mean is all that is seen of them."""


@model(config=MLP)
def mlp(config: MLP, signature: Signature) -> nn.Module:
    """Return the network.

    ValueError of more than one input or output, of one of whole numbers, and of squares that the
    input has no room for.
    """
    if len(signature.inputs) > 1 or len(signature.outputs) > 1:
        raise ValueError("it takes one input and gives one output")
    (given,), (wanted,) = signature.inputs, signature.outputs
    if not given.dtype.startswith("float"):
        raise ValueError(f"its input is numbers, and {given.name} is choices")
    *before, height, width = (1, 1, *given.concrete()[1:])
    if config.pool > min(height, width):
        raise ValueError(f"pool is {config.pool}, and an example has {height} x {width} numbers")
    inside = prod(before) * (height // config.pool) * (width // config.pool)
    return Layers([inside, *config.widths], prod(wanted.concrete()[1:]), config.pool)


class Layers(nn.Module):
    """Hidden layers, `body`, and the last one, `head`."""

    def __init__(self, widths: list[int], outputs: int, pool: int):
        super().__init__()
        pooling = [nn.AvgPool2d(pool)] if pool > 1 else []
        self.body = nn.Sequential(*pooling, nn.Flatten())
        for inside, outside in pairwise(widths):
            self.body.append(nn.Linear(inside, outside)).append(nn.ReLU())
        self.head = nn.Linear(widths[-1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores [batch, outputs]."""
        scores: Tensor = self.head(self.body(x))
        return scores
