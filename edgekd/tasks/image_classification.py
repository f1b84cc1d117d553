"""Say what a picture shows: one image in, one score per class out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgekd.core.config import Config, Count, Number, Positive, PositiveCount
from edgekd.core.errors import Problem, RequestError
from edgekd.core.kinds import task
from edgekd.core.protocols.source import Source
from edgekd.core.protocols.values import Batch, Facts, Split
from edgekd.core.refs import UseSource
from edgekd.core.signature import Port, Signature
from edgekd.tasks.asking import SPLITS, check_few, examine_all
from edgekd.tasks.preprocessing import facts_of_pictures

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from edgekd.tasks.pictures import Pictures
    from edgekd.tasks.survey import Sums, Survey

STREAMED_BYTES = 128
"""Of each picture that is streamed, while all are audited: its label, its digest, and both sorted;
and its name where it has one. A shuffled pass takes 4."""


class ImageClassificationOptions(Config):
    """Which pictures, and how a model sees them."""

    data: UseSource
    """Where the pictures and their classes come from."""
    size: PositiveCount | None = None
    """Pixels on each side that pictures are stretched to; without it, as the source has them."""
    train_examples: PositiveCount | None = None
    """Learn from this many pictures only, drawn by chance; fewer are always among more."""
    train_seed: Count = 0
    """Seed of that draw; the seed of the run does not move it."""
    mean: tuple[Number, ...] | None = None
    """What is subtracted per channel, on a scale from 0 to 1; else the training pictures' mean."""
    std: tuple[Positive, ...] | None = None
    """What is divided by then, per channel; else the training pictures' standard deviation."""
    duplicates: Literal["notice", "refuse", "allow"] = "notice"
    """What to do about the same picture in two splits, or under two labels: say it, refuse to go
    on, or nothing. No result depends on it: a kept one stays whatever is said here."""
    memory: Literal["auto", "hold", "stream"] = "auto"
    """Hold all pictures in memory, or stream them: read each batch when it is asked for. `auto`
    holds them where twice their size, which reading them takes, is at most half of the memory and
    nearly free, or where their source cannot stream. No result depends on it."""
    readers: Count | None = None
    """Processes that read ahead where pictures are streamed; 0 reads them as they are asked for.
    Without it, half of the processors and at most 8 where pictures are decoded, else none. No more
    than half of /dev/shm has room for. No result depends on it."""


@task(config=ImageClassificationOptions, judges=("duplicates", "memory", "readers"))
class ImageClassification:
    """Pictures as bytes, in memory or streamed, normalised batch by batch on the device."""

    quality: Sequence[str] = ("accuracy", "calibration")

    def __init__(self, options: ImageClassificationOptions):
        self.options = options
        self.source: Source = options.data.build()
        self._loaded: dict[Split, Pictures] = {}
        self._sums: Sums | None = None

    @property
    def labels(self) -> Sequence[str]:
        """Names of the classes, in the order of the scores."""
        return self.source.labels

    def signature(self) -> Signature:
        """Return float32 `image` [batch, channels, height, width] to `logits` [batch, classes]."""
        height, width, channels = self._shape
        return Signature(
            (Port("image", "float32", ("batch", channels, height, width)),),
            (Port("logits", "float32", ("batch", len(self.source.labels))),),
        )

    def files(self) -> Sequence[Path]:
        """Return the files of the source; RequestError where data is missing."""
        return self.source.files()

    def check(self) -> Iterator[Problem]:
        """Yield what can be told to be wrong before a picture is read."""
        check = self._asked("check")
        yield from check() if check else ()
        if self.options.memory == "stream" and not self._asked("open"):
            yield self._no_stream()
        count = self._asked("count")
        there = count("train") if count else None
        classes = len(self.source.labels)
        yield from check_few(self.options.train_examples, there, classes, "pictures")

    def audit(self) -> Sequence[str]:
        """Return what is likely a mistake in the data; all splits are read.

        RequestError with every fault that makes one of them useless.
        """
        from edgekd.tasks.twins import Known, Sorted, find_twins

        names = self._asked("names") or (lambda _: ())
        known, compared = list[Known](), self.options.duplicates != "allow"

        def examine(split: Split) -> None:
            pictures, found = self._pictures(split), self._survey(split, digests=compared)
            if split == "train":
                _ = self._normalisation
            if found.digests is not None:
                about = (pictures.row_of, names(split), self.source.labels, "pictures")
                known.append(Known(split, Sorted.of(found.digests), found.label, *about))

        examine_all(examine)
        twins = list(find_twins(known))
        if twins and self.options.duplicates == "refuse":
            step = "task.duplicates: refuse asks for this; say notice to go on nevertheless."
            raise RequestError([Problem("task.data", text, step) for text in twins])
        return twins

    def expected_size(self, split: Split) -> int | None:
        """Return the number of pictures before any is read; None where the source cannot tell."""
        count = self._asked("count")
        if count is None:
            return None
        there = int(count(split))
        fewer = self.options.train_examples if split == "train" else None
        return there if fewer is None else min(fewer, there)

    def expected_bytes(self) -> int | None:
        """Return what all splits will take in memory; None where the source cannot tell.

        Held, twice their size: the source's own arrays, and those that batches are cut from.
        Streamed, what is kept of each while they are audited.
        """
        size = self._held_bytes()
        if size is None or not self._streams:
            return size
        return sum(self.expected_size(split) or 0 for split in SPLITS) * STREAMED_BYTES

    def facts(self) -> Facts:
        """Return the class names and all that turns a decoded picture into the model's input."""
        return facts_of_pictures(self.source.labels, self._shape, self._normalisation)

    def size(self, split: Split) -> int:
        """Return the number of pictures."""
        return len(self._pictures(split))

    def batches(
        self,
        split: Split,
        batch_size: int,
        *,
        device: torch.device,
        rng: torch.Generator | None = None,
        part: tuple[int, int] = (0, 1),
        start: int = 0,
        among: Tensor | None = None,
    ) -> Iterator[Batch]:
        """Yield `image`, `labels` and `ids`, shuffled where `rng` is given."""
        return self._pictures(split).batches(
            batch_size,
            normalisation=self._normalisation,
            device=device,
            rng=rng,
            part=part,
            start=start,
            among=among,
        )

    def _asked(self, name: str) -> Callable[..., Any] | None:
        """Return a method that a source may have."""
        method = getattr(self.source, name, None)
        return method if callable(method) else None

    @property
    def _shape(self) -> tuple[int, ...]:
        height, width, channels = self.source.shapes["image"]
        size = self.options.size
        return (size, size, channels) if size else (height, width, channels)

    @cached_property
    def _streams(self) -> bool:
        """Whether pictures are read as they are asked for: decided once, before any is."""
        from edgekd.tasks.holding import fits

        if not self._asked("open"):
            if self.options.memory == "stream":
                raise RequestError(self._no_stream())
            return False
        if self.options.memory != "auto":
            return self.options.memory == "stream"
        size = self._held_bytes()
        return size is not None and not fits(size)

    def _no_stream(self) -> Problem:
        return Problem(
            "task.memory",
            f"{self.options.data.kind} cannot be streamed: it is read as a whole.",
            "Leave memory: out, or take a source that has `open`: arrays or image_folder.",
        )

    def _held_bytes(self) -> int | None:
        """Return what all splits take in memory where they are held; None where not told."""
        sizes = [self.expected_size(split) for split in SPLITS]
        each = prod(self._shape) + 8  # a label
        return None if None in sizes else 2 * sum(filter(None, sizes)) * each

    def _pictures(self, split: Split) -> Pictures:
        """Return a split; what is held is checked here, what is streamed by a survey."""
        from edgekd.tasks import pictures as made

        if split not in self._loaded:
            size, rows = self._shape[:2], self._asked("open") if self._streams else None
            if rows is not None:
                found = made.stream(self.source, rows(split), split, size, self.options.readers)
            else:
                found = made.hold(self.source, split, size)
            wanted = self.options.train_examples
            if split == "train" and wanted is not None:
                found = made.fewer(found, wanted, self.options.train_seed)
            self._loaded[split] = found
        return self._loaded[split]

    def _survey(self, split: Split, *, digests: bool) -> Survey:
        """Return what all pictures of a split come to; RequestError where they are no use."""
        from edgekd.tasks.columns import check_every_class
        from edgekd.tasks.survey import survey

        found = survey(self._pictures(split).shelf, digests=digests)
        if split == "train":
            check_every_class(found.label, self.source.labels, "picture")
            self._sums = found.sums
        return found

    @property
    def _normalisation(self) -> tuple[Sequence[float], Sequence[float]]:
        """Return mean and standard deviation by channel, on a scale from 0 to 1."""
        from edgekd.tasks.pictures import check_channels, normalisation_of

        mean: Sequence[float] | None = self.options.mean
        std: Sequence[float] | None = self.options.std
        if mean is None or std is None:
            sums = self._sums or self._survey("train", digests=False).sums
            own_mean, own_std = normalisation_of(sums, self.size("train"))
            mean, std = mean or own_mean, std or own_std
        check_channels(mean, std, self._shape[2])
        return mean, std
