"""Where the pictures of a split come from: memory, or their source as they are asked for."""

import multiprocessing
import shutil
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from edgekd.core.errors import Problem, RequestError, UnreadableError
from edgekd.core.lifetime import end_with_parent
from edgekd.core.limits import allowed_processors
from edgekd.core.protocols.source import Rows
from edgekd.core.protocols.values import Split
from edgekd.tasks.columns import Column, Seen, check_columns, problem, seen, together

Ids = Int64[Tensor, " n"]
Bytes = UInt8[Tensor, "n channels height width"]
Indices = np.ndarray[Any, np.dtype[np.int64]]

MOST_READERS = 8
AHEAD = 2
"""Batches that each reader has ready."""
MOMENT = 1.0
"""Seconds by which the signal of a reader's end may come after its pipes are closed."""
SHARED = Path("/dev/shm")  # noqa: S108
"""Where readers leave what they read; a container has 64 MiB of it unless it is told otherwise."""


class Chunk(NamedTuple):
    """Some pictures with their classes."""

    ids: Tensor
    """Their numbers, int64 [n]."""
    image: Tensor
    """uint8 [n, channels, height, width]."""
    label: Tensor
    """int64 [n]."""


@dataclass(frozen=True)
class Held:
    """Pictures in memory."""

    image: Bytes
    label: Ids

    @property
    def shape(self) -> tuple[int, ...]:
        """Height, width and channels of every picture."""
        channels, height, width = self.image.shape[1:]
        return height, width, channels

    def __len__(self) -> int:
        return len(self.label)

    def read(self, asked: Iterable[Tensor], at_once: int, *, pinned: bool) -> Iterator[Chunk]:  # noqa: ARG002
        """Yield the pictures of each of the ids that are asked for."""
        for ids in asked:
            yield Chunk(ids, self.image[ids], self.label[ids])

    def sweep(self, asked: Iterable[Tensor], at_once: int) -> Iterator[Chunk]:
        """Yield all pictures in order; what is wrong with them was told when they were read."""
        return self.read(asked, at_once, pinned=False)


class Read(NamedTuple):
    """What came of reading some examples."""

    ids: Indices
    image: Tensor | None
    """uint8 [n, channels, height, width]; None where these are no pictures for a classifier."""
    seen: Seen | None
    unreadable: Sequence[str] = ()
    """Why an example cannot be read; then there is nothing else."""


@dataclass(frozen=True)
class Streamed:
    """Pictures that their source reads when they are asked for."""

    split: Split
    rows: Rows
    row: Ids | None
    """Which rows of the source these are, where it is not all of them."""
    labels: Sequence[str]
    shape: tuple[int, ...]
    """Height, width and channels that they are stretched to."""
    readers: int | None
    """Processes that read ahead; None for as many as pay."""

    def __len__(self) -> int:
        return len(self.rows) if self.row is None else len(self.row)

    def read(self, asked: Iterable[Tensor], at_once: int, *, pinned: bool) -> Iterator[Chunk]:
        """Yield the pictures of each of the ids that are asked for.

        RequestError where they cannot be read, or are none for a classifier.
        """
        for ids, image, found, unreadable in self._look(asked, at_once, pinned=pinned):
            if unreadable:
                raise UnreadableError(unreadable)
            assert found is not None
            if image is None or found.label is None:
                check_columns(found, self.split, self.labels, self.shape[2])
                raise RequestError(_not_asked_for(self.split, len(ids), found))
            yield _chunk(ids, image, found.label)

    def sweep(self, asked: Iterable[Tensor], at_once: int) -> Iterator[Chunk]:
        """Yield all pictures in order; RequestError at the end with all that is wrong."""
        parts: list[Seen] = []
        reasons: list[str] = []
        for ids, image, found, unreadable in self._look(asked, at_once, pinned=False):
            reasons += unreadable
            if found is not None:
                parts.append(found)
                if image is not None and found.label is not None:
                    yield _chunk(ids, image, found.label)
        if reasons:
            raise UnreadableError(reasons)
        whole = together(parts, len(self.labels), self.shape[2])
        check_columns(whole, self.split, self.labels, self.shape[2])

    def _look(self, asked: Iterable[Tensor], at_once: int, *, pinned: bool) -> Iterator[Read]:
        """Yield what comes of reading each of the ids that are asked for, good or not."""
        numbers = (ids.numpy() for ids in asked)
        readers = self._readers(at_once)
        return _ahead(self, numbers, readers, pinned) if readers else map(self.__getitem__, numbers)

    def __getitem__(self, ids: Indices) -> Read:
        """Return what comes of reading these examples; a reader calls this."""
        rows = ids if self.row is None else self.row.numpy()[ids]
        try:
            columns = self.rows.read(rows)
        except UnreadableError as error:
            return Read(ids, None, None, error.reasons)
        found = seen(columns, ids)
        if not found.is_sound(len(ids), len(self.labels), self.shape[2]):
            return Read(ids, None, found)
        return Read(ids, as_pictures(columns["image"], self.shape[:2]), found)

    def _readers(self, at_once: int) -> int:
        """Return how many processes read ahead: as many as have room for what they read."""
        if multiprocessing.current_process().daemon or not SHARED.is_dir():
            return 0  # such a process may start none
        wanted = self.readers
        if wanted is None:
            wanted = (
                max(1, min(MOST_READERS, allowed_processors() // 2)) if self.rows.decodes else 0
            )
        height, width, channels = self.shape
        each = (AHEAD + 1) * min(at_once, len(self)) * height * width * channels
        return min(wanted, shutil.disk_usage(SHARED).free // 2 // max(1, each))


Shelf: TypeAlias = Held | Streamed
"""The pictures of a split, by number."""


def unlabelled(image: Column) -> Held:
    """Return bytes [n, height, width, channels] as pictures of no class."""
    return Held(as_pictures(image, image.shape[1:3]), torch.full((len(image),), -1))


def as_pictures(image: Column, size: Sequence[int]) -> Bytes:
    """Return bytes [n, height, width, channels] as pictures of `size`, smoothed if they shrink."""
    pictures = torch.from_numpy(image).permute(0, 3, 1, 2).contiguous()
    if pictures.shape[2:] == tuple(size):
        return pictures
    moved = functional.interpolate(pictures.float(), tuple(size), mode="bilinear", antialias=True)
    return moved.round().clamp(0, 255).byte()


def _ahead(shelf: Streamed, asked: Iterator[Indices], readers: int, pinned: bool) -> Iterator[Read]:
    """Yield what processes read that this one starts; they end with the iterator and with it."""
    loader: DataLoader[Read] = DataLoader(
        shelf,  # type: ignore[arg-type]
        batch_size=None,
        sampler=asked,
        num_workers=readers,
        prefetch_factor=AHEAD,
        collate_fn=_as_it_is,
        pin_memory=pinned,
        generator=torch.Generator(),  # else it would draw of the process's chance
        multiprocessing_context="fork",
        worker_init_fn=_begin,
    )
    with _signals_wait():
        reads = iter(loader)
    try:
        yield from reads
    except (EOFError, ConnectionError):
        time.sleep(MOMENT)  # torch raises in it what became of a reader that was ended
        raise


def _not_asked_for(split: Split, asked: int, found: Seen) -> Problem:
    given = "nothing" if found.image is None else f"images {found.image[1]}"
    step = "`read(numbers)` returns one row for every number, in their order."
    return problem(f"{split} was asked for {asked:,} examples and gave {given}.", step)


def _chunk(ids: Indices, image: Tensor, label: Column) -> Chunk:
    return Chunk(torch.from_numpy(ids), image, torch.from_numpy(label.astype(np.int64)))


def _as_it_is(read: Any) -> Any:
    return read


def _begin(_: int) -> None:
    end_with_parent(signal.SIGKILL)


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Have the wish to end wait, here for a moment and for good in processes that are started.

    Their parent tells them when to end: a training that is asked to ends after its step.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
