"""How examples of a batch lie to each other in one space."""

import torch
from jaxtyping import Float
from torch import Tensor

from edgekd.ops.shapes import Features

Square = Float[Tensor, "batch batch"]
SHORTEST = 1e-12
"""What is shorter has no direction, and no gradient."""


def similarities(feature: Features) -> Square:
    """Return the scalar products of the examples, each row of unit length."""
    flat = feature.flatten(1)
    return directions(flat @ flat.T)


def relative_distances(feature: Features) -> Square:
    """Return the Euclidean distances of the examples over their mean, which counts none that is 0.

    All zeros where all examples are alike.
    """
    flat = feature.flatten(1)
    exact = "donot_use_mm_for_euclid_dist"  # by products, those of near ones lose their digits
    distances = torch.cdist(flat, flat, compute_mode=exact)
    return distances * ((distances > 0).sum() / distances.sum().clamp(min=SHORTEST))


def angles(feature: Features) -> Float[Tensor, "batch batch batch"]:
    """Return the cosine of the angle at each example i between each two others, [i, j, k].

    0 where i is like one of them. It takes batch^2 (batch + width) numbers.
    """
    flat = feature.flatten(1)
    ways = directions(flat[None] - flat[:, None])
    return ways @ ways.transpose(1, 2)


def aligned(
    one: Float[Tensor, "batch width"], other: Float[Tensor, "batch other_width"]
) -> Float[Tensor, " batch"]:
    """Return what each example adds to linear CKA, which is their mean: in [0, 1] as a whole.

    Kornblith et al., arXiv 1905.00414, equation 4 with the linear kernel, without the matrix of
    all pairs where examples are more than dimensions. 0 for all where one space holds one point.
    """
    x, y = one - one.mean(0), other - other.mean(0)
    if len(x) <= max(x.shape[1], y.shape[1]):
        ours, theirs = x @ x.T, y @ y.T
        shared = (ours * theirs).sum(1)
    else:
        ours, theirs = x.T @ x, y.T @ y
        shared = ((x @ (x.T @ y)) * y).sum(1)
    added: Tensor = len(x) * shared / (ours.norm() * theirs.norm()).clamp(min=SHORTEST)
    return added


def directions(vectors: Float[Tensor, "*many width"]) -> Float[Tensor, "*many width"]:
    """Return vectors with unit length; one without a length stays, and has no gradient."""
    length = vectors.norm(dim=-1, keepdim=True)
    unit: Tensor = vectors / length.masked_fill(length < SHORTEST, torch.inf)
    return unit
