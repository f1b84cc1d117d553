"""Fashion-MNIST: 70,000 pictures of clothes, 28x28 grey, 10 classes, as the four IDX files."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import StringConstraints

from edgekd.core.config import Config, Count, LocalPath, Positive, PositiveCount
from edgekd.core.errors import Problem, RequestError
from edgekd.core.kinds import source
from edgekd.core.protocols.values import Arrays, Split
from edgekd.data.fetch import fetch
from edgekd.data.splits import stratified_parts

if TYPE_CHECKING:
    import numpy as np

PACKAGED = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's dataset-fashion-mnist puts the files."""
CANONICAL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
"""Zalando's own server, which speaks no https: the checksums below vouch for what it sends."""
PUBLISHED = """
3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84  train-images-idx3-ubyte.gz
a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845  train-labels-idx1-ubyte.gz
346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073  t10k-images-idx3-ubyte.gz
67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5  t10k-labels-idx1-ubyte.gz
"""
MOST_BYTES = 1 << 26
"""More than the largest of the files, unpacked, has: 47,040,016."""
CHECKSUMS = {name: sha256 for sha256, name in map(str.split, PUBLISHED.split("\n")[1:-1])}
"""SHA-256 of the published files. Debian packs the same pictures without name and date."""


class FashionMnistOptions(Config):
    """Where the files are, and how many of them choices are made on."""

    root: LocalPath | None = None
    """Folder with the four .gz files; without it Debian's package, then the download, is used."""
    download: bool = False
    """Fetch the files (30 MB) once into the user's cache folder where they are nowhere else."""
    mirror: Annotated[str, StringConstraints(pattern=r"^https?://")] = CANONICAL
    """Address of the folder that they are fetched from."""
    timeout_s: Positive = 60.0
    """How long the server may be silent."""
    validation: PositiveCount = 5000
    """How many of the 60,000 training pictures are set apart for choices."""
    seed: Count = 0
    """Seed of that division; the seed of the run does not move it."""


@source(config=FashionMnistOptions)
class FashionMnist:
    """The pictures as published, with a part of the training set kept for validation."""

    def __init__(self, options: FashionMnistOptions):
        self.options = options
        self.labels: Sequence[str] = (
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        )
        self.shapes: Mapping[str, tuple[int, ...]] = {"image": (28, 28, 1), "label": ()}

    def files(self) -> Sequence[Path]:
        """Return the four files, fetched first where that was asked for.

        RequestError where they are absent, UnreachableError where the server is.
        """
        folder = self._folder()
        return tuple(folder / name for name in CHECKSUMS)

    def load(self, split: Split) -> Arrays:
        """Return `image` uint8 [n, 28, 28, 1] and `label` int64 [n]."""
        if split == "test":
            return self._read("t10k")
        held_out, rest = self._parts
        chosen = held_out if split == "validation" else rest
        return {name: column[chosen] for name, column in self._training.items()}

    def count(self, split: Split) -> int:
        """Return the number of examples, from the first bytes of a file."""
        if split == "validation":
            return self.options.validation
        prefix = "t10k" if split == "test" else "train"
        total = _length(next(path for path in self.files() if path.name.startswith(prefix)))
        return total if split == "test" else total - self.options.validation

    @cached_property
    def _training(self) -> Arrays:
        return self._read("train")

    @cached_property
    def _parts(self) -> Sequence[np.ndarray[Any, np.dtype[np.int64]]]:
        label, held_out = self._training["label"], self.options.validation
        if held_out >= len(label):
            raise _problem(
                f"validation: {held_out} leaves nothing of {len(label)} pictures to train on.",
                "Set validation: to a smaller number.",
            )
        return stratified_parts(label, (held_out, len(label) - held_out), self.options.seed)

    def _read(self, prefix: str) -> Arrays:
        import numpy as np

        images, labels = (path for path in self.files() if path.name.startswith(prefix))
        image, label = read_idx(images), read_idx(labels)
        if image.shape != (len(label), *self.shapes["image"][:2]) or label.ndim != 1:
            raise _problem(
                f"{images} holds {image.shape} and {labels} {label.shape}, "
                "where 28x28 pictures and as many labels were expected.",
                "Take both files from the same place.",
            )
        return {"image": image[..., None], "label": label.astype(np.int64)}

    def _folder(self) -> Path:
        """Return the first folder that holds all four files."""
        given = self.options.root
        places = [Path(given)] if given else [PACKAGED, _cache()]
        for place in places:
            if all((place / name).is_file() for name in CHECKSUMS):
                return place
        if self.options.download and not given:
            for name, checksum in CHECKSUMS.items():
                address = f"{self.options.mirror.rstrip('/')}/{name}"
                fetch(address, _cache() / name, sha256=checksum, timeout_s=self.options.timeout_s)
            return _cache()
        missing = [name for name in CHECKSUMS if not (places[0] / name).is_file()]
        raise _problem(
            f"Fashion-MNIST is not in {places[0]}: {', '.join(missing)} missing.",
            "Install Debian's package with: apt-get install dataset-fashion-mnist\n"
            "or name the folder of the four .gz files with root:, or set download: true.",
        )


def read_idx(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the array of bytes in a gzipped IDX file; RequestError where it is not one."""
    import numpy as np

    try:
        with gzip.open(path) as stream:
            content = stream.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:  # a small file can unpack to more than any memory
            raise ValueError(f"it unpacks to more than {MOST_BYTES:,} bytes")
        dimensions = content[3]
        start = 4 + 4 * dimensions
        shape = np.frombuffer(content[4:start], ">u4").astype(int)
        if content[:3] != b"\0\0\x08" or len(shape) != dimensions or not dimensions:
            raise ValueError("it does not start as an IDX file of bytes does")
        return np.frombuffer(content, np.uint8, offset=start).reshape(*shape).copy()
    except (OSError, EOFError, IndexError, ValueError, zlib.error) as error:
        raise _problem(
            f"{path} cannot be read: {error}.", "Replace it by the published file."
        ) from error


def _length(path: Path) -> int:
    """Return the first dimension of a gzipped IDX file; RequestError where it is not one."""
    try:
        with gzip.open(path) as stream:
            return int.from_bytes(stream.read(8)[4:], "big")
    except (OSError, EOFError, zlib.error) as error:
        raise _problem(
            f"{path} cannot be read: {error}.", "Replace it by the published file."
        ) from error


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "edgekd" / "fashion-mnist"


def _problem(message: str, next_step: str) -> RequestError:
    return RequestError(Problem("task.data", message, next_step))
