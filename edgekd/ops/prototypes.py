"""Features told by prototypes: which of them each place is near to, and what they say together."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from edgekd.ops.features import MAP, as_tokens
from edgekd.ops.shapes import Features

Prototypes = Float[Tensor, "prototypes width"]
Scalar = Float[Tensor, ""]


def log_shares(
    tokens: Float[Tensor, "*many width"], prototypes: Prototypes, spread: Scalar
) -> Float[Tensor, "*many prototypes"]:
    r"""Return the logarithm of $softmax_k(-|u - P_k|^2 / \tau)$ for each token u, tau the spread.

    A token's own length is the same for all prototypes and falls out of the softmax.
    """
    lengths = prototypes.square().sum(-1)
    scores = (2 * tokens @ prototypes.T - lengths) / spread
    return scores.log_softmax(-1)


class Recall(nn.Module):
    """Gives each place the mean of the prototypes by their shares; zeros until it has some."""

    prototypes: Prototypes
    spread: Scalar

    def __init__(self, count: int, width: int):
        super().__init__()
        self.register_buffer("prototypes", torch.zeros(count, width))
        self.register_buffer("spread", torch.ones(()))

    def keep(self, prototypes: Prototypes, spread: Scalar) -> None:
        """Have these from now on; ValueError where their shape is another."""
        if prototypes.shape != self.prototypes.shape:
            shapes = (list(found.shape) for found in (self.prototypes, prototypes))
            raise ValueError("there is room for prototypes of {}, and these are {}".format(*shapes))
        self.prototypes.copy_(prototypes)
        self.spread.copy_(spread)

    def forward(self, feature: Features) -> Features:
        r"""Return $\sum_k a_k P_k$ at each place, in the shape of the feature."""
        shares = log_shares(as_tokens(feature), self.prototypes, self.spread).exp()
        found = shares @ self.prototypes
        if feature.ndim == MAP:
            found = found.transpose(1, 2)
        return found.reshape(feature.shape)
