"""Many file names in little memory: the letters in one array, and where each name ends."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    import numpy as np

    Bytes = np.ndarray[Any, np.dtype[np.uint8]]
    Indices = np.ndarray[Any, np.dtype[np.int64]]


class Names(Sequence[str]):
    """Texts by number.

    A list of a million paths would take half a gigabyte, and once more in every process that is
    forked and looks at it: each look changes a counter in the text. Arrays have none.
    """

    def __init__(self, letters: Bytes, ends: Indices):
        self._letters, self._ends = letters, ends

    @staticmethod
    def of(names: Iterable[str]) -> Names:
        """Return the names, as a file system spells them."""
        import numpy as np

        letters, ends = bytearray(), np.empty(1024, np.int64)
        count = 0
        for count, name in enumerate(names, 1):
            if count > len(ends):
                ends = np.resize(ends, 2 * len(ends))
            letters += os.fsencode(name)
            ends[count - 1] = len(letters)
        return Names(np.frombuffer(letters, np.uint8), ends[:count].copy())

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        start = self._ends[place - 1] if place else 0
        return os.fsdecode(self._letters[start : self._ends[place]].tobytes())

    def take(self, numbers: Indices) -> Names:
        """Return the names of these numbers, in their order."""
        return Names.of(self[int(number)] for number in numbers)
