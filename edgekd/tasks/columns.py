"""What a source gave, looked at before anything is made of it: every fault that it shows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekd.core.errors import Problem, RequestError
from edgekd.core.protocols.values import Arrays, Split

SHOWN = 5
"""Examples that a message names."""

Column = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Seen:
    """What the columns of a split are, or those of some of its examples."""

    names: Sequence[str]
    image: tuple[str, tuple[int, ...]] | None = None
    """Type and shape."""
    label: Column | None = None
    broken: Sequence[int] = ()
    """Ids of the pictures with NaN or infinite pixels."""

    def is_sound(self, examples: int, classes: int, channels: int) -> bool:
        """Tell whether these are columns of so many examples that a classifier can take."""
        if self.image is None or self.label is None:
            return False
        dtype, shape = self.image
        fits = dtype == "uint8" and len(shape) == 4 and shape[0] == examples
        own = self.label
        fits = fits and own.dtype.kind in "iu" and own.shape == (examples,)
        return fits and shape[3] == channels and bool(((own >= 0) & (own < classes)).all())


def seen(columns: Arrays, ids: Column | None = None) -> Seen:
    """Return what columns are; without `ids` the examples are numbered from 0."""
    names = tuple(columns)
    if not {"image", "label"} <= {*columns}:
        return Seen(names)
    image, label = columns["image"], columns["label"]
    about = (image.dtype.name, image.shape)
    if image.dtype.kind != "f" or image.ndim < 2 or not len(image):
        return Seen(names, about, label)
    bad = np.flatnonzero(~np.isfinite(image.reshape(len(image), -1)).all(1))
    return Seen(names, about, label, (bad if ids is None else ids[bad]).tolist())


def together(parts: Sequence[Seen], classes: int, channels: int) -> Seen:
    """Return what a split is whose examples were seen part by part, in their order."""
    absent = [part for part in parts if part.image is None]
    if absent or not parts:
        return absent[0] if absent else Seen(("image", "label"))
    sizes = [part.image[1][0] if part.image else 0 for part in parts]
    unsound = [p for p, n in zip(parts, sizes, strict=True) if not p.is_sound(n, classes, channels)]
    image = (unsound or parts)[0].image
    assert image is not None
    label = np.concatenate([part.label for part in parts if part.label is not None])
    broken = [index for part in parts for index in part.broken]
    return Seen(parts[0].names, (image[0], (sum(sizes), *image[1][1:])), label, broken)


def check_columns(columns: Seen, split: Split, labels: Sequence[str], channels: int) -> None:
    """Raise RequestError with all that makes a split of no use to a classifier of pictures."""
    problems = list(_faults(columns, split, labels, channels))
    if problems:
        raise RequestError(problems)


def some(ids: Sequence[int] | Column, names: Sequence[str] = ()) -> str:
    """Return the first few of some examples: `3 (ids 4, 7 and 9)`, or their names."""
    first = [names[i] if len(names) else str(i) for i in ids[:SHOWN]]
    rest = ", ..." if len(ids) > SHOWN else ""
    return f"{len(ids):,} ({'' if len(names) else 'ids '}{', '.join(first)}{rest})"


def problem(message: str, next_step: str) -> Problem:
    """Return a problem of the data, at its place in the file."""
    return Problem("task.data", message, next_step)


def check_every_class(label: Column, labels: Sequence[str], what: str) -> None:
    """Raise RequestError where a class has no example to learn from; `what` is one, `picture`."""
    counts = np.bincount(label, minlength=len(labels)).tolist()
    absent = [name for name, count in zip(labels, counts, strict=True) if count == 0]
    if absent:
        raise RequestError(
            problem(
                f"no training {what} shows {', '.join(absent)}; all {len(label):,} "
                "show other classes.",
                "Add some, remove the class, or raise train_examples.",
            )
        )


def _faults(columns: Seen, split: Split, labels: Sequence[str], channels: int) -> Iterator[Problem]:
    missing = {"image", "label"} - {*columns.names}
    if columns.image is None or columns.label is None:
        yield problem(
            f"{split} has no column {' and no '.join(sorted(missing))}; "
            f"it has {', '.join(columns.names) or 'none'}.",
            "A source gives image and label.",
        )
        return
    if len(labels) < 2:
        yield problem(f"there are {len(labels)} classes.", "A classifier needs at least two.")
    if len(columns.label) == 0:
        yield problem(f"{split} is empty.", "Give it examples, or a larger share of the data.")
        return
    yield from _faults_of_images(*columns.image, columns, split, channels)
    yield from faults_of_labels(columns.label, split, labels, "pictures")


def _faults_of_images(
    dtype: str, shape: tuple[int, ...], columns: Seen, split: Split, channels: int
) -> Iterator[Problem]:
    assert columns.label is not None
    if columns.broken:
        yield problem(
            f"{split} has pictures with NaN or infinite pixels: {some(columns.broken)} "
            f"of {shape[0]:,}.",
            "Mend or remove them.",
        )
    if shape[0] != len(columns.label) or dtype != "uint8" or len(shape) != 4:
        yield problem(
            f"{split} has images {dtype} {shape} and labels {columns.label.shape}.",
            "A source gives image uint8 [n, height, width, channels] and label [n].",
        )
    elif shape[3] != channels:
        yield problem(
            f"{split} has pictures of {shape[3]} channels, but the source says {channels}.",
            "Make both the same.",
        )


def faults_of_labels(
    label: Column, split: Split, labels: Sequence[str], what: str
) -> Iterator[Problem]:
    """Yield why labels are of no use to a classifier of `what`, as `pictures`."""
    if label.dtype.kind not in "iu" or label.ndim != 1:
        bad = np.flatnonzero(np.isnan(label)) if label.dtype.kind == "f" and label.ndim == 1 else ()
        what = f", of which {some(bad)} are NaN" if len(bad) else ""
        yield problem(
            f"{split} has labels {label.dtype} {label.shape}{what}.",
            "A source gives label as integers [n]: label.astype('int64').",
        )
        return
    wrong = np.flatnonzero((label < 0) | (label >= len(labels)))
    if len(wrong):
        yield problem(
            f"{split} has labels from {label.min()} to {label.max()}, but there are {len(labels)} "
            f"classes, 0 to {len(labels) - 1}; wrong are {some(wrong)} of {len(label):,}.",
            "Mend the labels.",
        )
    elif (label == label[0]).all() and len(labels) > 1:
        yield problem(
            f"{split} shows one class only: all of its {len(label):,} {what} are "
            f"'{labels[label[0]]}'.",
            f"Give it {what} of every class; from one class nothing is learnt or told.",
        )
