"""What goes into the programs: the examples that are scored, and the samples that are timed.

torch comes with a task; without one it is not imported.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from edgekd.core.protocols.task import Task
from edgekd.core.protocols.values import Split
from edgekd.core.results import Prepared
from edgekd.core.signals import SIGNALS
from edgekd.core.signature import Signature
from edgekd.devices.columns import Array, write_columns

if TYPE_CHECKING:
    from torch import Tensor

BATCH = 256
LEAST_PREPARED = 5


@dataclass(frozen=True)
class Inputs:
    """Folders with one .npy per input."""

    examples: Path
    samples: Path
    columns: Mapping[str, Tensor]
    """What else is known of the examples, such as `labels`."""


def write_inputs(
    task: Task, split: Split, num_samples: int, signatures: Iterable[Signature], folder: Path
) -> Inputs:
    """Write what the programs read: a whole split to score, samples of validation to time."""
    import torch

    given = list(signatures)
    names = _read(given)
    kept: dict[str, list[Tensor]] = {}

    def scored() -> Iterator[dict[str, Array]]:
        for batch in task.batches(split, BATCH, device=torch.device("cpu")):
            for name in SIGNALS.keys() & batch.keys():
                kept.setdefault(name, []).append(batch[name])
            yield {name: batch[name].numpy() for name in names}

    examples, samples = folder / "examples", folder / "samples"
    examples.mkdir()
    write_samples(task, num_samples, given, samples)
    write_columns(examples, scored(), task.size(split))
    return Inputs(examples, samples, {name: torch.cat(parts) for name, parts in kept.items()})


def time_preparing(task: Task, most: int) -> Prepared | None:
    """Return how long up to `most` examples of validation took, one at a time; None of too few.

    The first is left out: it opens the data.
    """
    import torch

    batches = iter(task.batches("validation", 1, device=torch.device("cpu")))
    taken = []
    for _ in range(min(most, task.size("validation"))):
        began = time.perf_counter()
        if next(batches, None) is None:
            break
        taken.append(1000 * (time.perf_counter() - began))
    if len(taken) <= LEAST_PREPARED:
        return None
    counted = taken[1:]
    return Prepared(
        examples=len(counted),
        median_ms=median(counted),
        lowest_ms=min(counted),
        highest_ms=max(counted),
    )


def write_samples(
    task: Task, num_samples: int, signatures: Iterable[Signature], folder: Path
) -> None:
    """Write the samples of validation that programs of these signatures are timed on."""
    import torch

    names = _read(signatures)

    def timed() -> Iterator[dict[str, Array]]:
        for batch in task.batches("validation", num_samples, device=torch.device("cpu")):
            yield {name: batch[name].numpy() for name in names}

    folder.mkdir()
    write_columns(folder, timed(), min(num_samples, task.size("validation")))


def _read(signatures: Iterable[Signature]) -> set[str]:
    """Return the names of all inputs but the state that is fed back."""
    given = list(signatures)
    fed_back = {into for signature in given for _, into in signature.state}
    return {port.name for signature in given for port in signature.inputs} - fed_back
