"""Shift pictures by a few pixels: pad them on all sides and cut the old size out at random."""

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from edgekd.core.config import Config, PositiveCount
from edgekd.core.errors import Problem, StageError
from edgekd.core.kinds import augment
from edgekd.core.protocols.task import Task
from edgekd.core.protocols.values import Batch
from edgekd.ops.draws import Draws

MODES = {"edge": "replicate", "reflect": "reflect", "zero": "constant"}


class Crop(Config):
    """How far a picture is moved and what fills the gap."""

    padding: PositiveCount = 4
    """Pixels added on each side, so the largest shift."""
    fill: Literal["edge", "reflect", "zero"] = "edge"
    """Repeat the border, mirror the picture, or 0: the mean colour of normalised pictures."""


def check(config: Crop, task: Task) -> Iterator[Problem]:
    """Yield that the pictures are too small for the shift."""
    for port in task.signature().inputs:
        if port.name == "image" and config.padding >= min(map(int, port.shape[2:])):
            height, width = port.shape[2:]
            yield Problem(
                "padding",
                f"{config.padding} pixels are added, but the pictures have {height}x{width}.",
                "Set it to less than their smaller side.",
            )


@augment(config=Crop, check=check, changes="image", each=True)
def crop(config: Crop, batch: Batch, draws: Draws) -> Batch:
    """Return the batch with each `image` [n, channels, height, width] shifted on its own."""
    image = batch["image"]
    height, width = image.shape[2:]
    if config.padding >= min(height, width):
        raise StageError(
            f"crop pads by {config.padding} pixels, but the pictures have {height}x{width}.",
            "Set padding: to less than their smaller side.",
        )
    padded = functional.pad(image, [config.padding] * 4, mode=MODES[config.fill])
    top, left = torch.split(draws.integers(2 * config.padding + 1, 2), 1, dim=1)
    return batch | {"image": _windows(padded, top, left, height, width)}


def _windows(padded: Tensor, top: Tensor, left: Tensor, height: int, width: int) -> Tensor:
    """Return the window of each picture that begins at its own `top` and `left` [n, 1]."""
    device = padded.device
    example = torch.arange(len(padded), device=device)[:, None, None, None]
    channel = torch.arange(padded.shape[1], device=device)[:, None, None]
    rows = (top + torch.arange(height, device=device))[:, None, :, None]
    columns = (left + torch.arange(width, device=device))[:, None, None, :]
    return padded[example, channel, rows, columns]
