"""No change at all: the control of every comparison of augmentations."""

import torch

from edgekd.core.config import Config
from edgekd.core.kinds import augment
from edgekd.core.protocols import Batch


@augment(config=Config)
def none(config: Config, batch: Batch, rng: torch.Generator) -> Batch:  # noqa: ARG001
    """Return the batch as it is; no chance is drawn."""
    return batch
