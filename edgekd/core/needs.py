"""What a stage takes of a machine, told before it starts.

A stage registers `estimate=fn(options, preview)`, which returns `Needs`, or None where nothing
can be told, without reading data or allocating a model: it counts on shapes alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

LIBRARIES_BYTES = 320 * 2**20
"""What a stage's process holds with PyTorch loaded and nothing else: 311 MiB were measured."""
EXPORTERS_BYTES = 240 * 2**20
"""What ONNX, ONNX Runtime, torchao and ExecuTorch add to that: 559 MiB were measured together."""


@dataclass(frozen=True)
class Hands:
    """Processes that work on a stage together."""

    everywhere: int = 1
    here: int = 1
    """Those of them on this machine, which share its memory."""


ALONE = Hands()


@dataclass(frozen=True)
class Needs:
    """An estimate, good to a factor of about two: it refuses what is hopeless and no more."""

    memory_bytes: int
    """Most that the stage's processes here hold at once, their libraries and the data included."""
    disk_bytes: int
    """What it writes: its result, and what it keeps meanwhile to survive an interruption."""
    device_bytes: int = 0
    """The part of each process that lies in the memory of a GPU where one computes."""
    lower: Sequence[str] = ()
    """Options that make it need less, the most effective first: `train.batch_size`."""
    processes: int = 1
    """How many hold `memory_bytes` together."""
