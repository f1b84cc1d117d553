"""Marks on examples, eight in a byte: in a training's state, and in a file beside its history."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from safetensors.torch import load_file, save_file
from torch import Tensor

SELECTED = "selected.safetensors"
"""Which examples each epoch used."""

Marks = Bool[Tensor, " examples"]
Packed = UInt8[Tensor, " bytes"]


def packed(marks: Marks) -> Packed:
    """Return eight marks in a byte."""
    return torch.from_numpy(np.packbits(marks.cpu().numpy()))


def marked(bits: Packed, size: int) -> Marks:
    """Return the marks on `size` examples."""
    return torch.from_numpy(np.unpackbits(bits.numpy(), count=size).astype(bool))


def write_selected(folder: Path, selected: Sequence[Packed], size: int) -> None:
    """Write which of `size` examples each epoch used, where that was chosen."""
    if selected:
        columns = {"bits": torch.stack([*selected]), "size": torch.tensor(size)}
        save_file(columns, folder / SELECTED)


def read_selected(folder: Path) -> Bool[Tensor, "epochs examples"]:
    """Return which examples each epoch used."""
    found = load_file(folder / SELECTED)
    return torch.stack([marked(bits, int(found["size"])) for bits in found["bits"]])
