"""Your own arrays: .npy files of bytes and of classes, read through a memory map."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekd.core.config import Config, LocalPath
from edgekd.core.errors import Problem, RequestError
from edgekd.core.kinds import source
from edgekd.core.protocols.values import Arrays, Split

if TYPE_CHECKING:
    import numpy as np

    Column = np.ndarray[Any, np.dtype[Any]]
    Indices = np.ndarray[Any, np.dtype[np.int64]]

SPLITS: Sequence[Split] = ("train", "validation", "test")
CHUNK = 2**20
"""Labels that are looked at together."""


class ArraysOptions(Config):
    """Where the arrays are and what the classes are called."""

    root: LocalPath
    """Folder with train_image.npy (uint8 [n, height, width] or [n, height, width, channels]) and
    train_label.npy (integers [n], from 0), and the same for validation and test. The order of the
    rows is kept, so it must be mixed: what takes a few examples takes the first ones."""
    labels: tuple[str, ...] | None = None
    """Names of the classes, in order; without them their numbers up to train's largest."""


@dataclass(frozen=True)
class MappedArrays:
    """The rows of one split, copied out of mapped files as they are asked for."""

    image: Column
    label: Column
    decodes: bool = False

    def __len__(self) -> int:
        return len(self.label)

    def read(self, numbers: Indices) -> Arrays:
        """Return `image` [n, height, width, channels] and `label` [n] of these rows."""
        return {"image": self.image[numbers], "label": self.label[numbers]}


@source(config=ArraysOptions)
class ArrayFiles:
    """Pictures that lie in arrays already; nothing is decoded."""

    def __init__(self, options: ArraysOptions):
        self.options = options

    @cached_property
    def labels(self) -> Sequence[str]:
        """Names of the classes."""
        if self.options.labels is not None:
            return self.options.labels
        label = self._mapped["train"].label
        return tuple(str(number) for number in range(int(label.max(initial=-1)) + 1))

    @cached_property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of one example of each column."""
        return {"image": self._mapped["train"].image.shape[1:], "label": ()}

    def files(self) -> Sequence[Path]:
        """Return the six files; RequestError with all that is wrong with them."""
        missing = [path for path in self._paths if not path.is_file()]
        if missing:
            raise RequestError([_missing(path) for path in missing])
        self._mapped  # noqa: B018  # what is no array is told here
        return self._paths

    def check(self) -> Iterator[Problem]:
        """Yield files whose rows are not mixed; only the labels are read."""
        try:
            mapped = self._mapped
        except RequestError:  # what is wrong with the files is told by `files`
            return
        for split in SPLITS:
            if _ascending(mapped[split].label):
                yield _problem(
                    f"{self._path(split, 'label')} is sorted by class.",
                    "Mix the rows of both arrays in the same way: what takes a few examples, to "
                    "calibrate or to compare, takes the first ones.",
                )

    def count(self, split: Split) -> int:
        """Return the number of examples."""
        return len(self._mapped[split])

    def load(self, split: Split) -> Arrays:
        """Return `image` [n, height, width, channels] and `label` [n]."""
        import numpy as np

        mapped = self._mapped[split]
        return {"image": np.array(mapped.image), "label": np.array(mapped.label)}

    def open(self, split: Split) -> MappedArrays:
        """Return the rows to be read as they are asked for."""
        return self._mapped[split]

    @property
    def _paths(self) -> Sequence[Path]:
        return [self._path(split, name) for split in SPLITS for name in ("image", "label")]

    def _path(self, split: Split, name: str) -> Path:
        return Path(self.options.root) / f"{split}_{name}.npy"

    @cached_property
    def _mapped(self) -> dict[Split, MappedArrays]:
        """Return the rows of every split; RequestError with all files that are not such arrays."""
        found: dict[Split, MappedArrays] = {}
        problems: list[Problem] = []
        for split in SPLITS:
            try:
                found[split] = self._map(split)
            except RequestError as error:
                problems += error.problems
        if problems:
            raise RequestError(problems)
        return found

    def _map(self, split: Split) -> MappedArrays:
        images, labels = self._path(split, "image"), self._path(split, "label")
        image, label = _open(images), _open(labels)
        if image.dtype != "uint8" or image.ndim not in (3, 4):
            raise RequestError(
                _problem(
                    f"{images} holds {image.dtype} {image.shape}.",
                    "Give bytes, uint8 [n, height, width] or [n, height, width, channels].",
                )
            )
        if label.dtype.kind not in "iu" or label.shape != image.shape[:1]:
            raise RequestError(
                _problem(
                    f"{labels} holds {label.dtype} {label.shape} for {len(image):,} pictures.",
                    "Give one integer per picture: label.astype('int64').",
                )
            )
        return MappedArrays(image if image.ndim == 4 else image[..., None], label)


def _open(path: Path) -> Column:
    """Return the array of a file, of which nothing is read yet; RequestError where it is none."""
    import numpy as np

    try:
        mapped = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise RequestError(_missing(path)) from None
    except (OSError, EOFError, ValueError) as error:
        step = "Write it with numpy.save(path, array)."
        raise RequestError(_problem(f"{path} cannot be read: {error}.", step)) from error
    return mapped.view(np.ndarray)  # cuts of a memmap remember where they lie, at a price


def _ascending(label: Column) -> bool:
    """Tell whether labels of several classes come class by class."""
    pieces = (label[start : start + CHUNK + 1] for start in range(0, len(label) - 1, CHUNK))
    rising = all((piece[1:] >= piece[:-1]).all() for piece in pieces)
    return len(label) > 1 and bool(label[0] != label[-1]) and rising


def _missing(path: Path) -> Problem:
    return _problem(
        f"there is no file {path.absolute()}.", "Write it with numpy.save(path, array)."
    )


def _problem(message: str, next_step: str) -> Problem:
    return Problem("task.data", message, next_step)
