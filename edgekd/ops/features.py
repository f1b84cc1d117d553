"""Features of two networks brought together: as vectors, or as maps of the same size.

A feature is a vector [batch, width], tokens [batch, tokens, width] or a map
[batch, channels, height, width].
"""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from edgekd.core.errors import StageError
from edgekd.ops.shapes import Embedding, Features, OtherFeatures, PerExample

MAP, TOKENS, VECTOR = 4, 3, 2
"""Dimensions that each has, the batch among them."""


def pooled(feature: Features) -> Embedding:
    """Return the mean over places or tokens, one vector an example; a vector is that already."""
    if feature.ndim == MAP:
        return feature.mean((2, 3))
    return feature.mean(1) if feature.ndim == TOKENS else feature.flatten(1)


def as_tokens(feature: Features) -> Float[Tensor, "batch tokens width"]:
    """Return what a feature has at each place; a vector is one token."""
    if feature.ndim == MAP:
        return feature.flatten(2).transpose(1, 2)
    return feature.reshape(len(feature), -1, feature.shape[-1])


def at_same_places(first: Features, second: OtherFeatures) -> tuple[Tensor, Tensor]:
    """Return both with the larger map averaged down to the size of the smaller one.

    What is no map stays. StageError where one is a map and the other is not, or where they have
    another number of tokens.
    """
    if first.ndim == second.ndim == MAP:
        sizes = zip(first.shape[2:], second.shape[2:], strict=True)
        height, width = (min(pair) for pair in sizes)
        return _averaged(first, height, width), _averaged(second, height, width)
    if first.ndim != second.ndim or first.shape[1:-1] != second.shape[1:-1]:
        shapes = " and ".join(str(list(feature.shape[1:])) for feature in (first, second))
        raise StageError(
            f"features of the shapes {shapes} have no places in common.",
            "Tap modules that both give maps, or both vectors, or as many tokens.",
        )
    return first, second


def apart(first: Features, second: Features) -> PerExample:
    """Return the mean square of the differences of each example."""
    return (first - second).square().flatten(1).mean(1)


def _averaged(
    feature: Float[Tensor, "batch channels _ _"], height: int, width: int
) -> Float[Tensor, "batch channels _ _"]:
    if feature.shape[2:] == (height, width):
        return feature
    return F.adaptive_avg_pool2d(feature, (height, width))
