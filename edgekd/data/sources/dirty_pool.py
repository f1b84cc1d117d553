"""Pictures of another source as a pool that nobody cleaned: changed, beside some that show nothing.

Every picture comes once with other contrast, brightness and grain. Beside them are pictures whose
pixels are shuffled and pictures of noise. Its classes are not those of the source but what each
picture is, so that one can tell how clean a choice among them is; a training from a pool looks at
neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekd.core.config import Config, Count, NonNegative, Share
from edgekd.core.kinds import source
from edgekd.core.protocols.source import Source
from edgekd.core.protocols.values import Arrays, Split
from edgekd.core.refs import UseSource
from edgekd.core.seeds import sub_seed

if TYPE_CHECKING:
    import numpy as np

    Images = np.ndarray[Any, np.dtype[np.uint8]]

BRIGHTEST = 255
KINDS = ("changed", "shuffled", "noise")


class DirtyPoolOptions(Config):
    """Which pictures, how they are changed, and what comes beside them."""

    of: UseSource
    """Where the pictures come from."""
    shuffled: NonNegative = 0.75
    """Pictures whose pixels are shuffled, for each picture of the source; which is drawn."""
    noise: NonNegative = 0.75
    """Pictures of uniform noise, for each picture of the source."""
    contrast: Share = 0.5
    """Each picture's contrast is multiplied by a factor from 1 - this to 1 + this."""
    brightness: Share = 0.2
    """Most that is added to a picture or taken away, as a share of the brightest."""
    grain: Share = 0.05
    """Standard deviation of the noise on each pixel, as a share of the brightest."""
    seed: Count = 0
    """Seed of all this; the seed of the run does not move it."""


@source(config=DirtyPoolOptions)
class DirtyPool:
    """A source whose splits are made from those of another one."""

    def __init__(self, options: DirtyPoolOptions):
        self.options = options
        self.labels: Sequence[str] = KINDS

    @cached_property
    def source(self) -> Source:
        """Where the pictures come from."""
        found: Source = self.options.of.build()
        return found

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of one example of each column."""
        return {"image": self.source.shapes["image"], "label": ()}

    def files(self) -> Sequence[Path]:
        """Return the files of the source; RequestError where data is missing."""
        return self.source.files()

    def load(self, split: Split) -> Arrays:
        """Return `image` uint8 [n, height, width, channels] and `label` [n], what each is."""
        import numpy as np

        rng = np.random.default_rng(sub_seed(self.options.seed, "dirty_pool", split))
        image = self.source.load(split)["image"]
        extra = [round(share * len(image)) for share in (self.options.shuffled, self.options.noise)]
        drawn = image[rng.choice(len(image), extra[0], replace=extra[0] > len(image))]
        pixels = drawn.reshape(extra[0], -1, image.shape[-1])
        noise = rng.integers(0, BRIGHTEST + 1, (extra[1], *image.shape[1:]), dtype=np.uint8)
        parts = [self._changed(image, rng), _shuffled(pixels, rng).reshape(drawn.shape), noise]
        label = np.repeat(np.arange(len(KINDS)), [len(part) for part in parts])
        order = rng.permutation(len(label))
        return {"image": np.concatenate(parts)[order], "label": label[order]}

    def _changed(self, image: Images, rng: np.random.Generator) -> Images:
        """Return pictures with other contrast and brightness, each its own, and grain."""
        import numpy as np

        options, each = self.options, (len(image), 1, 1, 1)
        factor = 1 + options.contrast * rng.uniform(-1, 1, each)
        lifted = options.brightness * BRIGHTEST * rng.uniform(-1, 1, each)
        grain = options.grain * BRIGHTEST * rng.standard_normal(image.shape)
        middle = image.mean((1, 2, 3), keepdims=True)
        moved = (image - middle) * factor + middle + lifted + grain
        changed: Images = moved.round().clip(0, BRIGHTEST).astype(np.uint8)
        return changed


def _shuffled(pixels: Images, rng: np.random.Generator) -> Images:
    """Return the pixels [n, places, channels] of each picture in an order of its own."""
    import numpy as np

    order = rng.random(pixels.shape[:2]).argsort(1)
    moved: Images = np.take_along_axis(pixels, order[..., None], 1)
    return moved
