"""Crops of the two photos that scikit-learn ships, a temple and a flower: nobody labelled them.

For a model that was given without data. Crops are squares of 60 to 100 % of a photo's height,
anywhere in it, mirrored or not, resized bicubically. Those of all splits are of the same two photos
and overlap: they tell how alike programs answer here, and nothing of other pictures. Among the
training pictures are synthetic ones: noise whose amplitude falls as 1/frequency, as that of photos
does (Field 1987).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from edgekd.core.config import Config, Count, PositiveCount
from edgekd.core.errors import Problem, RequestError
from edgekd.core.kinds import source
from edgekd.core.protocols.values import Arrays, Split

if TYPE_CHECKING:
    import numpy as np

    Picture = np.ndarray[Any, np.dtype[np.uint8]]
    Chance = np.random.Generator

PHOTOS = ("china.jpg", "flower.jpg")
SPLITS: Sequence[Split] = ("train", "validation", "test")
SMALLEST = 0.6
"""Least side of a crop over the height of its photo: 256 pixels of 427."""


class SamplePhotosOptions(Config):
    """How many pictures are made, and how large."""

    size: int = Field(default=224, ge=2)
    """Pixels on each side."""
    train: PositiveCount = Field(default=96, le=100_000)
    """Crops to calibrate on, half of each photo."""
    synthetic: Count = Field(default=32, le=100_000)
    """Pictures of noise among the training pictures."""
    validation: PositiveCount = Field(default=64, le=100_000)
    """Crops that choices are made on."""
    test: PositiveCount = Field(default=256, le=100_000)
    """Crops that gates and reports use, and nothing else."""
    seed: Count = 0
    """Seed of crops and noise; the seed of the run does not move it."""


@source(config=SamplePhotosOptions, distributions=("pillow", "scikit-learn"))
class SamplePhotos:
    """Pictures without labels, in the order of a shuffle."""

    def __init__(self, options: SamplePhotosOptions):
        self.options = options
        self.labels: Sequence[str] = ()
        self.shapes: Mapping[str, tuple[int, ...]] = {"image": (options.size, options.size, 3)}

    def files(self) -> Sequence[Path]:
        """Return the photos inside scikit-learn; RequestError where that is not installed."""
        return _installed()

    def count(self, split: Split) -> int:
        """Return the number of pictures."""
        own: int = getattr(self.options, split)
        return own + (self.options.synthetic if split == "train" else 0)

    def load(self, split: Split) -> Arrays:
        """Return `image` uint8 [n, size, size, 3]."""
        import numpy as np

        rng = np.random.default_rng((self.options.seed, SPLITS.index(split)))
        photos = [_photo(path) for path in _installed()]
        size, crops = self.options.size, getattr(self.options, split)
        image = [_crop(photos[index % len(photos)], size, rng) for index in range(crops)]
        if split == "train":
            image += [_noise(size, rng) for _ in range(self.options.synthetic)]
        return {"image": np.stack(image)[rng.permutation(len(image))]}


def _photo(path: Path) -> Any:
    """Return a photo as Pillow's Image."""
    from PIL import Image

    with Image.open(path, formats=("JPEG",)) as stored:
        return stored.convert("RGB")


def _crop(photo: Any, size: int, rng: Chance) -> Picture:
    """Return a square of a photo, by chance."""
    import numpy as np
    from PIL import Image

    most = min(photo.size)
    side = int(rng.integers(round(SMALLEST * most), most, endpoint=True))
    left = int(rng.integers(0, photo.width - side, endpoint=True))
    top = int(rng.integers(0, photo.height - side, endpoint=True))
    box = (left, top, left + side, top + side)
    crop = photo.resize((size, size), Image.Resampling.BICUBIC, box=box)
    picture = np.asarray(crop, np.uint8)
    return picture[:, ::-1] if rng.integers(2) else picture


def _noise(size: int, rng: Chance) -> Picture:
    """Return coloured noise with amplitudes of 1/frequency, of a brightness by chance."""
    import numpy as np

    white = np.fft.rfft2(rng.standard_normal((size, size, 3)), axes=(0, 1))
    across = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    across[0, 0] = np.inf  # the mean is drawn below
    pink = np.fft.irfft2(white / across[..., None], (size, size), axes=(0, 1))
    mixed = pink @ (np.eye(3) + rng.uniform(0, 2, (3, 1)))  # channels of photos go together
    spread = rng.uniform(20, 70) / mixed.std()
    level = rng.uniform(70, 185) + rng.uniform(-25, 25, 3)
    picture: Picture = (level + spread * mixed).round().clip(0, 255).astype(np.uint8)
    return picture


def _installed() -> Sequence[Path]:
    """Return scikit-learn's photos, without importing scikit-learn, which takes seconds."""
    found = find_spec("sklearn")
    if found is not None and found.origin is not None:
        paths = [Path(found.origin).parent / "datasets" / "images" / name for name in PHOTOS]
        if all(path.is_file() for path in paths):
            return paths
    raise RequestError(
        Problem(
            "task.data",
            "the photos come with scikit-learn, which is not installed here.",
            "Install it with: pip install scikit-learn",
        )
    )
