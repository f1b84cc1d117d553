"""Show the networks some patches of every picture alone, drawn anew in each epoch.

The student and its teacher see the same ones: which, belongs to the example and the epoch. Of L
patches `max(1, round(L (1 - ratio)))` stay visible. Departs from the authors' code, which rounds
down, so that of 196 patches at 0.98 three are left where the paper says four, and of few none. For
networks with patches of their own, as `vit`.
"""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from edgekd.core.config import Config, PositiveCount
from edgekd.core.errors import Problem
from edgekd.core.kinds import augment
from edgekd.core.protocols.task import Task
from edgekd.core.protocols.values import Batch
from edgekd.core.registry import Paper
from edgekd.core.signals import HIDDEN, VISIBLE
from edgekd.ops.draws import Draws

PAPER = Paper("Masked Autoencoders Are Scalable Vision Learners", "2111.06377", "its masking")


class PatchMask(Config):
    """How much is hidden."""

    patch: PositiveCount = 16
    """Pixels on each side of a patch: that of the networks."""
    ratio: Annotated[float, Field(gt=0, lt=1)] = 0.75
    """Share of the patches that is hidden; also the authors': 0.95 and 0.98, with a teacher."""


def visible_of(patches: int, ratio: float) -> int:
    """Return how many of so many patches stay visible."""
    return max(1, round(patches * (1 - ratio)))


def check(config: PatchMask, task: Task) -> Iterator[Problem]:
    """Yield that the pictures are not made of whole patches, or that nothing would be hidden."""
    for port in task.signature().inputs:
        if port.name == "image":
            height, width = map(int, port.shape[2:])
            patches = (height // config.patch) * (width // config.patch)
            if height % config.patch or width % config.patch:
                message = f"pictures of {height}x{width} are not made of whole patches."
                yield Problem("patch", message, "Set it to the patch of the student's model.")
            elif visible_of(patches, config.ratio) == patches:
                message = f"of {patches} patches a share of {config.ratio:g} hides none."
                yield Problem("ratio", message, "Raise it, or take smaller patches.")


@augment(
    config=PatchMask,
    paper=PAPER,
    check=check,
    changes="image",
    each=True,
    supplies=(VISIBLE, HIDDEN),
)
def patch_mask(config: PatchMask, batch: Batch, draws: Draws) -> Batch:
    """Return the batch with the numbers of the `visible` and of the `hidden` patches.

    Each example has its own; patches are counted row by row. The image itself stays: whoever is
    given the batch looks at the visible patches alone (`train.masked`).
    """
    height, width = batch["image"].shape[2:]
    patches = (height // config.patch) * (width // config.patch)
    order = draws.uniform(patches).argsort(dim=1, stable=True)
    visible, hidden = order.tensor_split([visible_of(patches, config.ratio)], dim=1)
    return batch | {VISIBLE: visible, HIDDEN: hidden}
