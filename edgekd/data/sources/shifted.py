"""Pictures of another source, moved by chance in some splits alone: another domain to be tried on.

Each picture is laid on a larger canvas in all splits and moved there in those that are named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgekd.core.config import Config, Count, PositiveCount
from edgekd.core.kinds import source
from edgekd.core.protocols.source import Source
from edgekd.core.protocols.values import Arrays, Split
from edgekd.core.refs import UseSource
from edgekd.core.seeds import sub_seed

if TYPE_CHECKING:
    import numpy as np


class ShiftedOptions(Config):
    """Whose pictures, and how far they move."""

    of: UseSource
    """The source of the pictures."""
    pixels: PositiveCount = 2
    """Most that a picture moves up, down, left or right; the canvas is so much larger all round."""
    splits: tuple[Split, ...] = ("test",)
    """Where pictures move; elsewhere each stays in the middle."""
    background: Count = 0
    """What the canvas is filled with, from 0 to 255."""
    seed: Count = 0
    """Of where each goes; the seed of the run does not move it."""


@source(config=ShiftedOptions)
class Shifted:
    """The pictures on their canvas."""

    def __init__(self, options: ShiftedOptions):
        self.options = options
        self.of: Source = options.of.build()
        self.labels: Sequence[str] = self.of.labels
        height, width, channels = self.of.shapes["image"]
        larger = (height + 2 * options.pixels, width + 2 * options.pixels, channels)
        self.shapes: Mapping[str, tuple[int, ...]] = {**self.of.shapes, "image": larger}

    def files(self) -> Sequence[Path]:
        """Return the files of the source; RequestError where data is missing."""
        return self.of.files()

    def load(self, split: Split) -> Arrays:
        """Return the columns with `image` uint8 [n, height, width, channels] on the canvas."""
        import numpy as np

        columns, most = self.of.load(split), self.options.pixels
        given = columns["image"]
        image = np.full((len(given), *self.shapes["image"]), self.options.background, np.uint8)
        rows = np.arange(len(given))[:, None, None]
        places = self._places(split, len(given))[:, :, None] + most
        top, left = (
            places[:, 0] + np.arange(given.shape[1]),
            places[:, 1] + np.arange(given.shape[2]),
        )
        image[rows, top[:, :, None], left[:, None, :]] = given
        return {**columns, "image": image}

    def count(self, split: Split) -> int:
        """Return the number of examples."""
        count = getattr(self.of, "count", None)
        return int(count(split)) if count else len(self.of.load(split)["image"])

    def _places(self, split: Split, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        """Return how far down and to the right each picture goes, [count, 2]."""
        import numpy as np

        if split not in self.options.splits:
            return np.zeros((count, 2), np.int64)
        rng, most = np.random.default_rng(sub_seed(self.options.seed, split)), self.options.pixels
        return rng.integers(-most, most + 1, (count, 2))
