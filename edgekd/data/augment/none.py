"""No change at all: the control of every comparison of augmentations."""

from edgekd.core.config import Config
from edgekd.core.kinds import augment
from edgekd.core.protocols.values import Batch
from edgekd.ops.draws import Draws


@augment(config=Config, each=True)
def none(config: Config, batch: Batch, draws: Draws) -> Batch:  # noqa: ARG001
    """Return the batch as it is; no chance is drawn."""
    return batch
