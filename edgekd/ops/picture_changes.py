"""Changes of pictures by numbers that may be learned: gradients go to pictures and numbers."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

Pictures = Float[Tensor, "batch channels height width"]
Maps = Float[Tensor, "batch 2 3"]
PerChannel = Float[Tensor, "batch channels"]
DARKEST = 1e-6
"""Least size of a number that is raised to a power: its slope stays finite."""


def warped(image: Pictures, maps: Maps, *, edge: bool) -> Pictures:
    """Return pictures seen through affine maps of their places, which go from -1 to 1.

    [[1, 0, 0], [0, 1, 0]] leaves one as it is. What lies outside is the nearest border where
    `edge`, else 0.
    """
    places = functional.affine_grid(maps, list(image.shape), align_corners=False)
    outside = "border" if edge else "zeros"
    return functional.grid_sample(image, places, padding_mode=outside, align_corners=False)


def recoloured(image: Pictures, gain: PerChannel, bias: PerChannel, gamma: PerChannel) -> Pictures:
    """Return gain * sign(x) |x|^gamma + bias; 1, 0 and 1 leave a picture as it is."""
    gain, bias, gamma = (value[..., None, None] for value in (gain, bias, gamma))
    power = image.abs().clamp(min=DARKEST) ** gamma
    return gain * image.sign() * power + bias


def masked(
    image: Pictures, other: Pictures, share: Float[Tensor, "batch rows columns"]
) -> Pictures:
    """Return pictures with a share of another one at each place; the share is stretched to fit."""
    size = image.shape[-2:]
    mask = functional.interpolate(
        share[:, None], size=list(size), mode="bilinear", align_corners=False
    )
    return torch.lerp(image, other, mask)
