"""A few examples of a task, in batches."""

import torch

from edgekd.core.protocols import Batch, Split, Task

BATCH = 32


def take(
    task: Task, split: Split, examples: int, *, rng: torch.Generator | None = None
) -> list[Batch]:
    """Return `examples` examples, or the whole split where it is smaller.

    Drawn without replacement where `rng` is given, else the first ones.
    """
    batches: list[Batch] = []
    missing = examples
    for batch in task.batches(split, min(BATCH, examples), device=torch.device("cpu"), rng=rng):
        batches.append({name: column[:missing] for name, column in batch.items()})
        missing -= len(next(iter(batches[-1].values())))
        if missing <= 0:
            break
    return batches
