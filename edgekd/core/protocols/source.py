"""What a source of examples must do.

A source may also have `check()`, which yields problems before anything is read, `count(split)`,
its number of examples, `names(split)`, how people find each, and `open(split)`, which returns
`Rows`: with it examples can be read as they are asked for, where they do not fit in memory. Both
ways must give the same examples under the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from edgekd.core.protocols.values import Arrays, Split

if TYPE_CHECKING:
    import numpy as np


@runtime_checkable
class Source(Protocol):
    """Examples from somewhere, in three splits that share no example."""

    labels: Sequence[str]
    """Names of the classes, in order."""
    shapes: Mapping[str, tuple[int, ...]]
    """Shape of one example of each column, known before anything is loaded."""

    def files(self) -> Sequence[Path]:
        """Return every file or folder that is read; MissingData says what is absent."""

    def load(self, split: Split) -> Arrays:
        """Return columns by name, all with the same first dimension."""


@runtime_checkable
class Rows(Protocol):
    """Examples of one split of a source, read as they are asked for; processes may share them.

    It holds little: what is read is not kept.
    """

    decodes: bool
    """Whether reading is work for a processor, which other processes then do ahead."""

    def __len__(self) -> int:
        """Return the number of examples."""

    def read(self, numbers: np.ndarray[Any, np.dtype[np.int64]]) -> Arrays:
        """Return the columns of these examples, in their order, as `Source.load` would.

        UnreadableError says why for each that cannot be read.
        """
