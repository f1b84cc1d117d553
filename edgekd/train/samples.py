"""A few examples of a task, in batches."""

import torch
from torch import Tensor

from edgekd.core.protocols.task import Task
from edgekd.core.protocols.values import Batch, Split
from edgekd.core.quantization import Int8Static
from edgekd.core.refs import UseTransform
from edgekd.core.seeds import sub_seed

BATCH = 32
PASS = 512
"""Examples read at once where all are looked at."""
DEFAULT_EXAMPLES = Int8Static().examples


def calibration_examples(transform: UseTransform) -> int:
    """Return how many training examples a transform takes its ranges from."""
    return int(getattr(transform.options, "examples", DEFAULT_EXAMPLES))


def calibration(task: Task, transform: UseTransform, seed: int) -> list[Batch]:
    """Return the training examples that a transform takes its ranges from, by a stage's seed."""
    rng = torch.Generator().manual_seed(sub_seed(seed, "calibration"))
    return take(task, "train", calibration_examples(transform), rng=rng)


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


def marked(task: Task, marks: Tensor) -> Batch:
    """Return the training examples with a mark, bool [examples], on the device of the marks."""
    parts = []
    for batch in task.batches("train", PASS, device=marks.device):
        rows = marks[batch["ids"]]
        parts.append({name: column[rows] for name, column in batch.items()})
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
