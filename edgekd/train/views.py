"""How examples are changed before anybody looks at them: the same for all who see one view."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from edgekd.core.protocols.values import Batch
from edgekd.ops.draws import Draws


@dataclass(frozen=True)
class Views:
    """Which views there are."""

    seed: int
    """Of what they are drawn with."""
    count: int | None = None
    """After how many epochs they come again; None where each epoch shows a new one."""

    def in_epoch(self, epoch: int) -> int:
        """Return the view that an epoch, counted from 1, shows."""
        return epoch - 1 if self.count is None else (epoch - 1) % self.count


@torch.no_grad()
def view_of(
    batch: Batch, augments: Sequence[Callable[[Batch, Draws], Batch]], seed: int, view: int
) -> Batch:
    """Return a view of the examples of a batch: all changes in order, each with its own chance."""
    if augments:
        draws = Draws(seed, view, batch["ids"]).split(len(augments))
        for augment, own in zip(augments, draws, strict=True):
            batch = augment(batch, own)
    return batch


def channels_last(batch: Batch) -> Batch:
    """Return the batch with images in the layout that convolutions are fastest in."""
    return {
        name: t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t
        for name, t in batch.items()
    }
