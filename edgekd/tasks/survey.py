"""All pictures of a split looked at once, a few at a time: what is found fits in memory."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgekd.tasks.reading import Shelf

CHUNK_BYTES = 2**18
"""Pictures that are looked at together; sums of their squares take several times as much."""
DIGEST = 16
"""Bytes that a picture is known by."""

Digests = np.ndarray[Any, np.dtype[Any]]
Classes = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Sums:
    """Of bytes by channel: exact, so in whatever parts they were added."""

    count: int
    """Pixels in each channel."""
    total: tuple[int, ...]
    squares: tuple[int, ...]

    def mean(self) -> tuple[float, ...]:
        """Return the mean by channel, on a scale from 0 to 1."""
        return tuple(total / (255 * self.count) for total in self.total)

    def std(self) -> tuple[float, ...]:
        """Return the standard deviation by channel, on a scale from 0 to 1."""
        both = zip(self.total, self.squares, strict=True)
        return tuple(
            math.sqrt((self.count * squares - total**2) / (255 * self.count) ** 2)
            for total, squares in both
        )


@dataclass(frozen=True)
class Survey:
    """What all pictures of a split came to."""

    label: Classes
    sums: Sums
    digests: Digests | None
    """128 bits of each picture; None where nobody asked."""


def survey(shelf: Shelf, *, digests: bool) -> Survey:
    """Return what the pictures of a split come to.

    RequestError with all that makes them of no use to a classifier.
    """
    count, at_once = len(shelf), max(1, CHUNK_BYTES // math.prod(shelf.shape))
    label = np.empty(count, np.int64)
    known = np.empty(count, f"S{DIGEST}") if digests else None
    total, squares = torch.zeros(2, shelf.shape[2], dtype=torch.int64)
    for ids, image, classes in shelf.sweep(_in_order(count, at_once), at_once):
        numbers = ids.numpy()
        label[numbers] = classes.numpy()
        if known is not None:
            known[numbers] = digests_of(image)
        total += image.sum((0, 2, 3), dtype=torch.int64)
        squares += image.int().square().sum((0, 2, 3), dtype=torch.int64)
    pixels = count * math.prod(shelf.shape[:2])
    return Survey(label, Sums(pixels, tuple(total.tolist()), tuple(squares.tolist())), known)


def _in_order(count: int, at_once: int) -> Iterator[Tensor]:
    for first in range(0, count, at_once):
        yield torch.arange(first, min(first + at_once, count))


def digests_of(image: Tensor) -> Digests:
    """Return 128 bits of each picture of a batch."""
    rows = image.flatten(1).numpy()
    return np.array([blake2b(row, digest_size=DIGEST).digest() for row in rows], f"S{DIGEST}")
