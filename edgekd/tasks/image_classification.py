"""Say what a picture shows: one image in, one score per class out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgekd.core.config import Config, Count, Number, Positive, PositiveCount
from edgekd.core.errors import Problem, RequestError
from edgekd.core.kinds import task
from edgekd.core.protocols import Batch, Facts, Source, Split
from edgekd.core.refs import UseSource
from edgekd.core.signature import Port, Signature

if TYPE_CHECKING:
    import torch

    from edgekd.tasks.pictures import Pictures

SPLITS: Sequence[Split] = ("train", "validation", "test")


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


@task(config=ImageClassificationOptions, judges=("duplicates",))
class ImageClassification:
    """Pictures in memory as bytes, normalised batch by batch on the device that asks."""

    quality: Sequence[str] = ("accuracy", "calibration")

    def __init__(self, options: ImageClassificationOptions):
        self.options = options
        self.source: Source = options.data.build()
        self._loaded: dict[Split, Pictures] = {}

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
        count = self._asked("count")
        wanted, classes = self.options.train_examples, len(self.source.labels)
        if wanted is not None and wanted < classes:
            yield Problem(
                "task.train_examples",
                f"{wanted} training pictures cannot show all {classes} classes.",
                f"Ask for at least {classes}; a draw by chance takes several times as many.",
            )
        if wanted is not None and count is not None and wanted > count("train"):
            yield Problem(
                "task.train_examples",
                f"{wanted} asks for more than the {count('train')} there are.",
                "Ask for fewer, or leave it out to use all.",
            )

    def audit(self) -> Sequence[str]:
        """Return what is likely a mistake in the data; all splits are read.

        RequestError with every fault that makes one of them useless.
        """
        from edgekd.tasks.twins import Known, find_twins

        problems: list[Problem] = []
        for split in SPLITS:
            try:
                self._pictures(split)
                if split == "train":
                    _ = self._normalisation
            except RequestError as error:
                problems += [p for p in error.problems if p not in problems]
        if problems:
            raise RequestError(problems)
        if self.options.duplicates == "allow":
            return []
        names = self._asked("names") or (lambda _: ())
        known = [Known(s, self._loaded[s], names(s), self.source.labels) for s in SPLITS]
        found = list(find_twins(known))
        if found and self.options.duplicates == "refuse":
            step = "task.duplicates: refuse asks for this; say notice to go on nevertheless."
            raise RequestError([Problem("task.data", text, step) for text in found])
        return found

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

        Twice their size: the source's own arrays, and those that batches are cut from.
        """
        sizes = [self.expected_size(split) for split in SPLITS]
        each = prod(self._shape) + 16  # a label and a number of 8 bytes each
        return None if None in sizes else 2 * sum(filter(None, sizes)) * each

    def facts(self) -> Facts:
        """Return the class names and all that turns a decoded picture into the model's input."""
        height, width, channels = self._shape
        mean, std = self._normalisation
        return {
            "labels": list(self.source.labels),
            "preprocessing": {
                "layout": "NCHW",
                "color": "L" if channels == 1 else "RGB",
                "size": [height, width],
                "scale": 1 / 255,
                "mean": list(mean),
                "std": list(std),
            },
        }

    def size(self, split: Split) -> int:
        """Return the number of pictures."""
        return len(self._pictures(split).label)

    def batches(
        self,
        split: Split,
        batch_size: int,
        *,
        device: torch.device,
        rng: torch.Generator | None = None,
        part: tuple[int, int] = (0, 1),
    ) -> Iterator[Batch]:
        """Yield `image`, `labels` and `ids`, shuffled where `rng` is given."""
        return self._pictures(split).batches(
            batch_size, normalisation=self._normalisation, device=device, rng=rng, part=part
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

    def _pictures(self, split: Split) -> Pictures:
        from edgekd.tasks.pictures import read_pictures

        if split not in self._loaded:
            pictures = read_pictures(self.source, split, self._shape[:2])
            if split == "train":
                pictures = pictures.fewer(self.options.train_examples, self.options.train_seed)
                pictures.check_every_class(self.source.labels)
            self._loaded[split] = pictures
        return self._loaded[split]

    @property
    def _normalisation(self) -> tuple[Sequence[float], Sequence[float]]:
        """Return mean and standard deviation by channel, on a scale from 0 to 1."""
        from edgekd.tasks.pictures import check_channels

        mean: Sequence[float] | None = self.options.mean
        std: Sequence[float] | None = self.options.std
        if mean is None or std is None:
            own_mean, own_std = self._pictures("train").statistics
            mean, std = mean or own_mean, std or own_std
        check_channels(mean, std, self._shape[2])
        return mean, std
