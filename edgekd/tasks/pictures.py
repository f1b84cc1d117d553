"""Labelled pictures in memory: checked once, normalised batch by batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.nn import functional

from edgekd.core.errors import RequestError
from edgekd.core.protocols import Batch, Source, Split
from edgekd.core.seeds import sub_seed
from edgekd.ops.batches import batch_ids
from edgekd.tasks.columns import check_columns, problem

Bytes = UInt8[Tensor, "n channels height width"]
Classes = Int64[Tensor, "n"]

CHUNK = 4096
"""Pictures that are turned into floats at once."""


@dataclass(frozen=True)
class Pictures:
    """One split."""

    image: Bytes
    label: Classes
    row: Classes
    """Number of each picture in the source's split; its id is its number here."""

    @cached_property
    def statistics(self) -> tuple[Sequence[float], Sequence[float]]:
        """Mean and standard deviation by channel, on a scale from 0 to 1."""
        total = torch.zeros(2, self.image.shape[1], dtype=torch.float64)
        for chunk in torch.split(self.image, CHUNK):
            value = chunk.double() / 255
            total += torch.stack([value.sum((0, 2, 3)), value.square().sum((0, 2, 3))])
        mean, mean_square = total / (self.image.numel() / self.image.shape[1])
        std = (mean_square - mean.square()).clamp(min=0).sqrt()
        flat = [str(index) for index, value in enumerate(std.tolist()) if value <= 1e-6]
        if flat:
            raise _problem(
                f"the {len(self.label):,} training pictures are all of one colour in channel "
                f"{' and '.join(flat)}.",
                "Check the data, or give mean: and std: yourself.",
            )
        return tuple(mean.tolist()), tuple(std.tolist())

    def fewer(self, count: int | None, seed: int) -> "Pictures":
        """Return the first `count` of a shuffle, or all where nothing is asked."""
        if count is None:
            return self
        if count > len(self.label):
            raise _problem(
                f"train_examples: {count} asks for more than the {len(self.label)} there are.",
                "Ask for fewer, or leave train_examples out to use all.",
            )
        rng = torch.Generator().manual_seed(sub_seed(seed, "train_examples"))
        chosen = torch.randperm(len(self.label), generator=rng)[:count]
        return Pictures(self.image[chosen], self.label[chosen], self.row[chosen])

    def check_every_class(self, labels: Sequence[str]) -> None:
        """Raise RequestError where a class has no picture to learn from."""
        counts = self.label.bincount(minlength=len(labels)).tolist()
        absent = [name for name, count in zip(labels, counts, strict=True) if count == 0]
        if absent:
            raise _problem(
                f"no training picture shows {', '.join(absent)}; all {len(self.label):,} "
                "show other classes.",
                "Add some, remove the class, or raise train_examples.",
            )

    def batches(
        self,
        batch_size: int,
        *,
        normalisation: tuple[Sequence[float], Sequence[float]],
        device: torch.device,
        rng: torch.Generator | None,
        part: tuple[int, int],
    ) -> Iterator[Batch]:
        """Yield normalised batches on `device`; `ids` number the pictures of this split."""
        mean, std = (torch.tensor(v, device=device)[:, None, None] for v in normalisation)
        for ids in batch_ids(len(self.label), batch_size, rng=rng, part=part):
            image = _moved(self.image[ids], device).float().div_(255).sub_(mean).div_(std)
            yield {
                "image": image,
                "labels": _moved(self.label[ids], device),
                "ids": _moved(ids, device),
            }


def read_pictures(source: Source, split: Split, size: Sequence[int]) -> Pictures:
    """Return a split of the source in `size` (height, width); RequestError where it is no use."""
    columns = source.load(split)
    check_columns(columns, split, source.labels, source.shapes["image"][2])
    image, label = columns["image"], columns["label"]
    pictures = torch.from_numpy(image).permute(0, 3, 1, 2).contiguous()
    if pictures.shape[2:] != tuple(size):
        pictures = torch.cat([_resized(chunk, size) for chunk in torch.split(pictures, CHUNK)])
    classes = torch.from_numpy(label.astype("int64"))
    return Pictures(pictures, classes, torch.arange(len(classes)))


def check_channels(mean: Sequence[float], std: Sequence[float], channels: int) -> None:
    """Raise RequestError where there is not one mean and one deviation per channel."""
    if not len(mean) == len(std) == channels:
        raise _problem(
            f"mean has {len(mean)} and std {len(std)} values for {channels} channels.",
            "Give one value per channel, or leave both out.",
        )


def _resized(image: Tensor, size: Sequence[int]) -> Tensor:
    """Return the pictures stretched to `size`, smoothed where they shrink."""
    moved = functional.interpolate(image.float(), tuple(size), mode="bilinear", antialias=True)
    return moved.round().clamp(0, 255).byte()


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    """Return the tensor on the device, on its way there while the host goes on."""
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def _problem(message: str, next_step: str) -> RequestError:
    return RequestError(problem(message, next_step))
