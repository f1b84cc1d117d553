"""Pictures that nobody labelled, for a classifier that was given: scored by agreement alone.

What is made of the model is compared with the model, picture by picture. How often either is right
nobody can tell without labels, so measures that ask for them are refused, and so is training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from edgekd.core.config import Config, Number, Positive
from edgekd.core.errors import Problem, RequestError
from edgekd.core.kinds import task
from edgekd.core.protocols.source import Source
from edgekd.core.protocols.values import Batch, Facts, Split
from edgekd.core.refs import UseSource
from edgekd.core.signature import Port, Signature
from edgekd.tasks.asking import examine_all
from edgekd.tasks.preprocessing import facts_of_pictures

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from edgekd.tasks.pictures import Pictures


class UnlabelledImagesOptions(Config):
    """Which pictures, and how the model sees them."""

    data: UseSource
    """Where the pictures come from; labels that they have are not looked at."""
    classes: int | tuple[str, ...] = Field(union_mode="left_to_right")
    """How many classes the model tells apart, or their names in its order."""
    mean: tuple[Number, ...] | None = None
    """What is subtracted per channel, on a scale from 0 to 1, as the model was trained; else the
    training pictures' mean."""
    std: tuple[Positive, ...] | None = None
    """What is divided by then, per channel; else the training pictures' standard deviation."""


@task(config=UnlabelledImagesOptions)
class UnlabelledImages:
    """Pictures as bytes in memory, normalised batch by batch on the device."""

    quality: Sequence[str] = ("agreement",)
    columns: Sequence[str] = ("ids",)

    def __init__(self, options: UnlabelledImagesOptions):
        self.options = options
        self.source: Source = options.data.build()
        self._held: dict[Split, Pictures] = {}

    @property
    def labels(self) -> Sequence[str]:
        """Names of the classes that a given model tells apart, or their numbers."""
        classes = self.options.classes
        return tuple(map(str, range(classes))) if isinstance(classes, int) else classes

    def signature(self) -> Signature:
        """Return float32 `image` [batch, channels, height, width] to `logits` [batch, classes]."""
        height, width, channels = self.source.shapes["image"]
        return Signature(
            (Port("image", "float32", ("batch", channels, height, width)),),
            (Port("logits", "float32", ("batch", len(self.labels))),),
        )

    def files(self) -> Sequence[Path]:
        """Return the files of the source; RequestError where data is missing."""
        return self.source.files()

    def check(self) -> Iterator[Problem]:
        """Yield what can be told to be wrong before a picture is read."""
        if len(self.labels) < 2:
            message = f"there are {len(self.labels)} classes."
            yield Problem("task.classes", message, "A classifier has at least two.")
        check = getattr(self.source, "check", None)
        yield from check() if check else ()

    def audit(self) -> Sequence[str]:
        """Read all splits; RequestError with every fault that makes one of them useless."""
        examine_all(self._examine)
        return []

    def expected_size(self, split: Split) -> int | None:
        """Return the number of pictures before any is read; None where the source cannot tell."""
        count = getattr(self.source, "count", None)
        return int(count(split)) if count else None

    def facts(self) -> Facts:
        """Return the class names and all that turns a decoded picture into the model's input."""
        return facts_of_pictures(self.labels, self.source.shapes["image"], self._normalisation)

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
        """Yield `image` and `ids`, shuffled where `rng` is given: see `protocols.task.Task`."""
        for batch in self._pictures(split).batches(
            batch_size,
            normalisation=self._normalisation,
            device=device,
            rng=rng,
            part=part,
            start=start,
            among=among,
        ):
            yield {"image": batch["image"], "ids": batch["ids"]}

    def _examine(self, split: Split) -> None:
        """Raise RequestError where a split is of no use."""
        self._pictures(split)
        if split == "train":
            _ = self._normalisation

    def _pictures(self, split: Split) -> Pictures:
        """Return a split; RequestError where it has no pictures."""
        from edgekd.tasks.columns import problem
        from edgekd.tasks.pictures import Pictures
        from edgekd.tasks.reading import unlabelled

        if split not in self._held:
            image = self.source.load(split)["image"]
            shape = self.source.shapes["image"]
            if not len(image) or image.dtype != "uint8" or image.shape[1:] != shape:
                message = f"{split} has images {image.dtype} {image.shape}."
                step = f"A source of such pictures gives uint8 [n, {', '.join(map(str, shape))}]."
                raise RequestError(problem(message, step))
            self._held[split] = Pictures(unlabelled(image))
        return self._held[split]

    @cached_property
    def _normalisation(self) -> tuple[Sequence[float], Sequence[float]]:
        """Return mean and standard deviation by channel, on a scale from 0 to 1."""
        from edgekd.tasks.pictures import check_channels, normalisation_of
        from edgekd.tasks.survey import survey

        mean: Sequence[float] | None = self.options.mean
        std: Sequence[float] | None = self.options.std
        if mean is None or std is None:
            pictures = self._pictures("train")
            sums = survey(pictures.shelf, digests=False).sums
            own_mean, own_std = normalisation_of(sums, len(pictures))
            mean, std = mean or own_mean, std or own_std
        check_channels(mean, std, self.source.shapes["image"][2])
        return mean, std
