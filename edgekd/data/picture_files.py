"""The picture files of one split: read all at once, or as they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgekd.core.errors import UnreadableError
from edgekd.core.protocols.values import Arrays
from edgekd.data.decode import decode, decoded
from edgekd.data.names import Names

if TYPE_CHECKING:
    import numpy as np

    from edgekd.data.decode import Picture

    Indices = np.ndarray[Any, np.dtype[np.int64]]
    Images = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class PictureFiles:
    """The picture files of one split, decoded as they are asked for."""

    root: Path
    names: Names
    """Their paths inside the root."""
    label: Indices
    shape: tuple[int, ...]
    """Height, width, channels."""
    color: Literal["L", "RGB"]
    decodes: bool = True

    def __len__(self) -> int:
        return len(self.names)

    def paths(self) -> Iterator[Path]:
        """Yield the path of each picture."""
        return (self.root / name for name in self.names)

    def read(self, numbers: Indices) -> Arrays:
        """Return `image` uint8 [n, height, width, channels] and `label` int64 [n].

        UnreadableError names every picture that cannot be read.
        """
        paths = (self.root / self.names[int(number)] for number in numbers)
        found = (decode(path, self.shape, self.color) for path in paths)
        return {"image": _stacked(found, len(numbers), self.shape), "label": self.label[numbers]}

    def read_all(self) -> Arrays:
        """Return the columns of the whole split, decoded side by side."""
        found = decoded(self.paths(), self.shape, self.color)
        return {"image": _stacked(found, len(self), self.shape), "label": self.label}

    def cut(self, numbers: slice) -> PictureFiles:
        """Return a run of the files."""
        names, label = Names.of(self.names[numbers]), self.label[numbers].copy()
        return replace(self, names=names, label=label)


def _stacked(pictures: Iterator[Picture | str], count: int, shape: tuple[int, ...]) -> Images:
    """Return decoded pictures in one array; UnreadableError where some are reasons instead."""
    import numpy as np

    image = np.empty((count, *shape), np.uint8)
    bad: list[str] = []
    for index, picture in enumerate(pictures):
        if isinstance(picture, str):
            bad.append(picture)
        else:
            image[index] = picture
    if bad:
        raise UnreadableError(bad)
    return image
