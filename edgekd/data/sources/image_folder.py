"""Your own pictures: folders train/, val/ and test/ with one folder of PNG or JPEG per class."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Literal

from pydantic import Field

from edgekd.core.config import Config, Count, LocalPath, PositiveCount, Share
from edgekd.core.errors import Problem, RequestError, UnreadableError
from edgekd.core.kinds import source
from edgekd.core.protocols.values import Arrays, Split
from edgekd.data.decode import beginnings
from edgekd.data.names import Names
from edgekd.data.picture_files import PictureFiles
from edgekd.data.splits import stratified_order

VALIDATION_FOLDERS = ("val", "validation")
ENDINGS = (".jpeg", ".jpg", ".png")
GLANCED_AT = 5_000
"""Most files whose first bytes are looked at before anything runs: about half a second."""


class ImageFolderOptions(Config):
    """Where the pictures are and what is made of them."""

    root: LocalPath
    """Folder that holds train/, test/ and, if you like, val/ or validation/."""
    size: PositiveCount | tuple[PositiveCount, PositiveCount]
    """Pixels every picture is stretched to: one number for a square, or [height, width]."""
    color: Literal["L", "RGB"] = "RGB"
    """Grey (L) or colour."""
    validation: Share = Field(default=0.15, gt=0, lt=1)
    """Share of train/ that is set apart for choices where there is no folder for them."""
    seed: Count = 0
    """Seed of the order and of that division; the seed of the run does not move it."""


@source(config=ImageFolderOptions, distributions=("pillow",))
class ImageFolder:
    """Decoded pictures of one size."""

    def __init__(self, options: ImageFolderOptions):
        self.options = options
        self.root = Path(options.root)
        size, channels = options.size, len(options.color)
        height, width = (size, size) if isinstance(size, int) else size
        self.shapes: Mapping[str, tuple[int, ...]] = {
            "image": (height, width, channels),
            "label": (),
        }

    @cached_property
    def labels(self) -> Sequence[str]:
        """Names of the classes: the folders in train/, sorted."""
        self.files()
        return _classes(self.root / "train")

    def files(self) -> Sequence[Path]:
        """Return the folder of all splits; RequestError with all that is wrong with them."""
        problems = list(self._problems())
        if problems:
            raise RequestError(problems)
        return (Path(self.options.root),)

    def check(self) -> Iterator[Problem]:
        """Yield the files that do not begin as pictures do; nothing is decoded."""
        try:
            listed = chain(*(files.paths() for files in self._listed.values()))
        except RequestError:  # what is wrong with the folders is told by `files`
            return
        bad = list(beginnings(islice(listed, GLANCED_AT)))
        yield from UnreadableError(bad).problems if bad else ()

    def count(self, split: Split) -> int:
        """Return the number of pictures."""
        return len(self._listed[split])

    def names(self, split: Split) -> Sequence[str]:
        """Return the path of each picture inside the root."""
        return self._listed[split].names

    def load(self, split: Split) -> Arrays:
        """Return `image` uint8 [n, height, width, channels] and `label` int64 [n].

        UnreadableError names every picture that cannot be read.
        """
        return self._listed[split].read_all()

    def open(self, split: Split) -> PictureFiles:
        """Return the pictures to be decoded as they are asked for."""
        return self._listed[split]

    @cached_property
    def _named_for_validation(self) -> list[Path]:
        return [self.root / name for name in VALIDATION_FOLDERS if (self.root / name).is_dir()]

    @cached_property
    def _folders(self) -> dict[Split, Path]:
        found = self._named_for_validation
        own: dict[Split, Path] = {"validation": found[0]} if found else {}
        return {"train": self.root / "train", **own, "test": self.root / "test"}

    def _problems(self) -> Iterator[Problem]:
        """Yield what is wrong with the folders, without opening a picture."""
        missing = [path for path in self._folders.values() if not path.is_dir()]
        for path in missing:
            yield _problem(
                f"there is no folder {path.absolute()}.",
                "Make train/ and test/ there, each with one folder of pictures per class.",
            )
        if missing:
            return
        if len(self._named_for_validation) > 1:
            yield _problem(
                f"there are both {' and '.join(map(str, self._named_for_validation))}.",
                "Keep one of them.",
            )
        classes = _classes(self.root / "train")
        if len(classes) < 2:
            yield _problem(
                f"{self.root / 'train'} has {len(classes)} folders of pictures, one per class.",
                "Make one folder per class in it, at least two.",
            )
        for folder in self._folders.values():
            yield from _problems_of(folder, classes)

    @cached_property
    def _listed(self) -> dict[Split, PictureFiles]:
        """Return the files and classes of all pictures, in an order that mixes the classes."""
        self.files()
        listed = {split: self._list(folder) for split, folder in self._folders.items()}
        if "validation" not in listed:
            pictures = listed["train"]
            held_out = max(1, round(self.options.validation * len(pictures)))
            listed["validation"] = pictures.cut(slice(held_out))
            listed["train"] = pictures.cut(slice(held_out, None))
        return listed

    def _list(self, folder: Path) -> PictureFiles:
        import numpy as np

        counts = []

        def every() -> Iterator[str]:
            for name in self.labels:
                own = _pictures(folder / name)
                counts.append(len(own))
                yield from (f"{folder.name}/{name}/{file}" for file in own)

        names = Names.of(every())
        label = np.repeat(np.arange(len(counts)), counts)
        order = stratified_order(label, self.options.seed)
        shape, color = self.shapes["image"], self.options.color
        return PictureFiles(self.root, names.take(order), label[order], shape, color)


def _classes(folder: Path) -> Sequence[str]:
    """Return the names of a split's class folders, sorted."""
    return tuple(sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] != "."))


def _problems_of(folder: Path, classes: Sequence[str]) -> Iterator[Problem]:
    """Yield what is wrong with one split."""
    own = _classes(folder)
    if own != classes:
        odd = ", ".join(sorted({*own} ^ {*classes}))
        yield _problem(
            f"{folder} and {folder.parent / 'train'} differ in the classes {odd}.",
            "Make the same folders in both.",
        )
    for name in own:
        if not _pictures(folder / name):
            yield _problem(
                f"{folder / name} holds no {', '.join(ENDINGS)} file.",
                "Put pictures there, or remove the class from every split.",
            )


def _pictures(folder: Path) -> list[str]:
    """Return the names of a class's picture files, sorted."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name[0] != "."]
    return sorted(name for name in names if name.lower().endswith(ENDINGS))


def _problem(message: str, next_step: str) -> Problem:
    return Problem("task.data", message, next_step)
