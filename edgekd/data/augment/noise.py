"""Add noise to every pixel: what a learned augmentation must beat."""

import math

import torch

from edgekd.core.config import Config, Positive
from edgekd.core.kinds import augment
from edgekd.core.protocols.values import Batch
from edgekd.ops.draws import Draws

LEAST = 2.0**-25
"""Half of a drawn number's step: its logarithm stays finite."""


class Noise(Config):
    """How much."""

    deviation: Positive = 0.3
    """Standard deviation, of normalised pictures."""


@augment(config=Noise, changes="image", each=True)
def noise(config: Noise, batch: Batch, draws: Draws) -> Batch:
    """Return the batch with normal noise in `image` [n, channels, height, width].

    Two uniform numbers make a normal one (Box and Muller 1958).
    """
    image = batch["image"]
    first, second = (draws.uniform(*image.shape[1:]).to(image) for _ in range(2))
    normal = (-2 * (first + LEAST).log()).clamp(min=0).sqrt() * torch.cos(2 * math.pi * second)
    return batch | {"image": image + config.deviation * normal}
