"""Shift pictures by a few pixels: pad them on all sides and cut the old size out at random."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from edgekd.core.config import Config, PositiveCount
from edgekd.core.errors import StageError
from edgekd.core.kinds import augment
from edgekd.core.protocols import Batch

MODES = {"edge": "replicate", "reflect": "reflect", "zero": "constant"}


class Crop(Config):
    """How far a picture is moved and what fills the gap."""

    padding: PositiveCount = 4
    """Pixels added on each side, so the largest shift."""
    fill: Literal["edge", "reflect", "zero"] = "edge"
    """Repeat the border, mirror the picture, or 0: the mean colour of normalised pictures."""


@augment(config=Crop)
def crop(config: Crop, batch: Batch, rng: torch.Generator) -> Batch:
    """Return the batch with each `image` [n, channels, height, width] shifted on its own."""
    image = batch["image"]
    count, _, height, width = image.shape
    if config.padding >= min(height, width):
        raise StageError(
            f"crop pads by {config.padding} pixels, but the pictures have {height}x{width}.",
            "Set padding: to less than their smaller side.",
        )
    padded = functional.pad(image, [config.padding] * 4, mode=MODES[config.fill])
    shifts = torch.randint(2 * config.padding + 1, (2, count, 1), generator=rng)
    shifts = shifts.to(image.device, non_blocking=True)
    return batch | {"image": _windows(padded, shifts[0], shifts[1], height, width)}


def _windows(padded: Tensor, top: Tensor, left: Tensor, height: int, width: int) -> Tensor:
    """Return the window of each picture that begins at its own `top` and `left` [n, 1]."""
    device = padded.device
    example = torch.arange(len(padded), device=device)[:, None, None, None]
    channel = torch.arange(padded.shape[1], device=device)[:, None, None]
    rows = (top + torch.arange(height, device=device))[:, None, :, None]
    columns = (left + torch.arange(width, device=device))[:, None, None, :]
    return padded[example, channel, rows, columns]
