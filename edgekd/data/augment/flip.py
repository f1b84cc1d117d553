"""Mirror pictures left to right, each by a throw of the dice."""

import torch

from edgekd.core.config import Config, Share
from edgekd.core.kinds import augment
from edgekd.core.protocols import Batch


class Flip(Config):
    """How often a picture is mirrored."""

    probability: Share = 0.5
    """Chance of each picture to be mirrored."""


@augment(config=Flip)
def flip(config: Flip, batch: Batch, rng: torch.Generator) -> Batch:
    """Return the batch with some of its `image` [n, channels, height, width] mirrored."""
    image = batch["image"]
    chosen = torch.rand(len(image), generator=rng) < config.probability
    chosen = chosen.to(image.device, non_blocking=True)[:, None, None, None]
    return batch | {"image": torch.where(chosen, image.flip(-1), image)}
