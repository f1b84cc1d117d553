"""Labelled pictures of one split, in memory or streamed: normalised batch by batch."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int64
from torch import Tensor

from edgekd.core.errors import RequestError
from edgekd.core.protocols.source import Rows, Source
from edgekd.core.protocols.values import Batch, Split
from edgekd.ops.batches import batch_ids
from edgekd.tasks.columns import check_columns, problem, seen
from edgekd.tasks.few import drawn
from edgekd.tasks.moving import moved
from edgekd.tasks.reading import Held, Shelf, Streamed, as_pictures
from edgekd.tasks.survey import CHUNK_BYTES, Sums

Classes = Int64[Tensor, "n"]


@dataclass(frozen=True)
class Pictures:
    """One split."""

    shelf: Shelf
    row: Classes | None = None
    """Number of each picture in the source's split, where these are not all of it."""

    def __len__(self) -> int:
        return len(self.shelf)

    def row_of(self, index: int) -> int:
        """Return the number in the source's split of the picture with this id."""
        return index if self.row is None else int(self.row[index])

    def batches(
        self,
        batch_size: int,
        *,
        normalisation: tuple[Sequence[float], Sequence[float]],
        device: torch.device,
        rng: torch.Generator | None,
        part: tuple[int, int],
        start: int,
        among: Tensor | None = None,
    ) -> Iterator[Batch]:
        """Yield normalised batches on `device`; `ids` number the pictures of this split."""
        mean, std = (torch.tensor(v, device=device)[:, None, None] for v in normalisation)
        asked = batch_ids(len(self), batch_size, rng=rng, part=part, start=start, among=among)
        at_once = -(-batch_size // part[1])
        for ids, image, label in self.shelf.read(asked, at_once, pinned=device.type == "cuda"):
            floats = moved(image, device).float().div_(255).sub_(mean).div_(std)
            yield {"image": floats, "labels": moved(label, device), "ids": moved(ids, device)}


def hold(source: Source, split: Split, size: Sequence[int]) -> Pictures:
    """Return a split, read into memory, in `size` (height, width); RequestError where no use."""
    columns = source.load(split)
    check_columns(seen(columns), split, source.labels, source.shapes["image"][2])
    image, label = columns["image"], columns["label"]
    if image.shape[1:3] == tuple(size):
        pictures = as_pictures(image, size)
    else:
        at_once = max(1, CHUNK_BYTES // math.prod(image.shape[1:]))
        parts = (image[i : i + at_once] for i in range(0, len(image), at_once))
        pictures = torch.cat([as_pictures(part, size) for part in parts])
    return Pictures(Held(pictures, torch.from_numpy(label.astype("int64"))))


def stream(
    source: Source, rows: Rows, split: Split, size: Sequence[int], readers: int | None
) -> Pictures:
    """Return a split whose pictures are read when they are asked for; none is looked at yet."""
    shape = (*size, source.shapes["image"][2])
    return Pictures(Streamed(split, rows, None, source.labels, shape, readers))


def fewer(pictures: Pictures, count: int, seed: int) -> Pictures:
    """Return the first `count` of a shuffle."""
    chosen = drawn(len(pictures), count, seed)
    shelf = pictures.shelf
    if isinstance(shelf, Streamed):
        return Pictures(replace(shelf, row=chosen), chosen)
    ((_, image, label),) = shelf.read([chosen], count, pinned=False)
    return Pictures(Held(image, label), chosen)


def normalisation_of(sums: Sums, pictures: int) -> tuple[Sequence[float], Sequence[float]]:
    """Return mean and standard deviation by channel, on a scale from 0 to 1."""
    mean, std = sums.mean(), sums.std()
    flat = [str(index) for index, value in enumerate(std) if value <= 1e-6]
    if flat:
        raise _problem(
            f"the {pictures:,} training pictures are all of one colour in channel "
            f"{' and '.join(flat)}.",
            "Check the data, or give mean: and std: yourself.",
        )
    return mean, std


def check_channels(mean: Sequence[float], std: Sequence[float], channels: int) -> None:
    """Raise RequestError where there is not one mean and one deviation per channel."""
    if not len(mean) == len(std) == channels:
        raise _problem(
            f"mean has {len(mean)} and std {len(std)} values for {channels} channels.",
            "Give one value per channel, or leave both out.",
        )


def _problem(message: str, next_step: str) -> RequestError:
    return RequestError(problem(message, next_step))
