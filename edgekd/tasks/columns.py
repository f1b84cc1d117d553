"""What a source gave, looked at before anything is made of it: every fault that it shows."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from edgekd.core.errors import Problem, RequestError
from edgekd.core.protocols import Arrays, Split

SHOWN = 5
"""Examples that a message names."""

Column = np.ndarray[Any, np.dtype[Any]]


def check_columns(columns: Arrays, split: Split, labels: Sequence[str], channels: int) -> None:
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


def _faults(
    columns: Arrays, split: Split, labels: Sequence[str], channels: int
) -> Iterator[Problem]:
    missing = {"image", "label"} - {*columns}
    if missing:
        yield problem(
            f"{split} has no column {' and no '.join(sorted(missing))}; "
            f"it has {', '.join(columns) or 'none'}.",
            "A source gives image and label.",
        )
        return
    image, label = columns["image"], columns["label"]
    if len(labels) < 2:
        yield problem(f"there are {len(labels)} classes.", "A classifier needs at least two.")
    if len(label) == 0:
        yield problem(f"{split} is empty.", "Give it examples, or a larger share of the data.")
        return
    yield from _faults_of_images(image, label, split, channels)
    yield from _faults_of_labels(label, split, labels)


def _faults_of_images(
    image: Column, label: Column, split: Split, channels: int
) -> Iterator[Problem]:
    if image.dtype.kind == "f" and image.ndim > 1:
        flat = image.reshape(len(image), -1)
        bad = np.flatnonzero(~np.isfinite(flat).all(1))
        if len(bad):
            yield problem(
                f"{split} has pictures with NaN or infinite pixels: {some(bad)} of {len(image):,}.",
                "Mend or remove them.",
            )
    if len(image) != len(label) or image.dtype != "uint8" or image.ndim != 4:
        yield problem(
            f"{split} has images {image.dtype} {image.shape} and labels {label.shape}.",
            "A source gives image uint8 [n, height, width, channels] and label [n].",
        )
    elif image.shape[3] != channels:
        yield problem(
            f"{split} has pictures of {image.shape[3]} channels, but the source says {channels}.",
            "Make both the same.",
        )


def _faults_of_labels(label: Column, split: Split, labels: Sequence[str]) -> Iterator[Problem]:
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
            f"{split} shows one class only: all of its {len(label):,} pictures are "
            f"'{labels[label[0]]}'.",
            "Give it pictures of every class; from one class nothing is learnt or told.",
        )
