"""Mirror pictures left to right, each by a throw of the dice."""

import torch

from edgekd.core.config import Config, Share
from edgekd.core.kinds import augment
from edgekd.core.protocols.values import Batch
from edgekd.ops.draws import Draws


class Flip(Config):
    """How often a picture is mirrored."""

    probability: Share = 0.5
    """Chance of each picture to be mirrored."""


@augment(config=Flip, changes="image", each=True)
def flip(config: Flip, batch: Batch, draws: Draws) -> Batch:
    """Return the batch with some of its `image` [n, channels, height, width] mirrored."""
    image = batch["image"]
    chosen = draws.uniform(1, 1, 1) < config.probability
    return batch | {"image": torch.where(chosen, image.flip(-1), image)}
