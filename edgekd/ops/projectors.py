"""Learned maps from the width of a student's feature to its teacher's, for training alone."""

from collections.abc import Sequence

from torch import nn

from edgekd.ops.features import MAP

Shape = Sequence[int]
"""Of one example, without the batch."""


def width_of(shape: Shape) -> int:
    """Return how wide a feature is: the channels of a map, the numbers of a vector or token."""
    return shape[0] if len(shape) + 1 == MAP else shape[-1]


def linear(own: Shape, width: int, *, bias: bool = True) -> nn.Module:
    """Return a linear map to another width at each place: of a map, a 1x1 convolution."""
    if len(own) + 1 == MAP:
        return nn.Conv2d(width_of(own), width, 1, bias=bias)
    return nn.Linear(width_of(own), width, bias=bias)


def layers(own: Shape, widths: Sequence[int], *, bias: bool = True) -> nn.Module:
    """Return linear maps to these widths, one after the other, with ReLU between them."""
    found: list[nn.Module] = []
    for width in widths:
        found += [*([nn.ReLU()] if found else []), linear(own, width, bias=bias)]
        own = [width, *own[1:]] if len(own) + 1 == MAP else [*own[:-1], width]
    return nn.Sequential(*found)


def normed(own: int, width: int, dropout: float) -> nn.Module:
    """Return batch norm, dropout and a linear map, for vectors."""
    return nn.Sequential(nn.BatchNorm1d(own), nn.Dropout(dropout), nn.Linear(own, width))
