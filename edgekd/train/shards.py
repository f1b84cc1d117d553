"""Columns of tensors on disk in files of a few dozen megabytes, read through a memory map.

Rows are numbered from 0. A file is written whole under a name with the digest of its content, so
what an interrupted run left is known to be whole, and is taken up where it ends. Any number of
processes can read.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from edgekd.core.artifact import digest_file, sync

SHARD_BYTES = 64 * 2**20
"""Most of a file; where all files together are no larger, they are read into memory at once."""
PARTS = 16
"""Files at least, unless they were tiny: an interruption costs one of them."""
FEWEST_ROWS = 256
INDEX = "shards.json"

Columns = Mapping[str, Tensor]
"""Tensors by name with the same first dimension."""


class ShardWriter:
    """Appends rows to a folder: those from `begin` to before `end`, of which `next` is the next.

    Args:
        folder: where files gather; what an earlier writer of the same rows left is taken up.
        total: how many rows there will be.
        row_bytes: about what one takes.
        part: which part of the files this one writes, of how many: others write the rest.

    """

    def __init__(self, folder: Path, total: int, row_bytes: int, part: tuple[int, int] = (0, 1)):
        self.folder, self.total = folder, total
        fair = max(FEWEST_ROWS, -(-total // PARTS))
        self.rows_per_shard = max(1, min(fair, SHARD_BYTES // max(1, row_bytes)))
        self._waiting: list[Columns] = []
        self._held = 0
        which, of = part
        files = -(-total // self.rows_per_shard)
        self._first, last = files * which // of, files * (which + 1) // of
        self._number = self._first + self._whole(range(self._first, last))
        self.begin = min(total, self._first * self.rows_per_shard)
        self.next = min(total, self._number * self.rows_per_shard)
        self.end = min(total, last * self.rows_per_shard)

    def append(self, columns: Columns) -> None:
        """Take the next rows; they are written once a file is full."""
        self._waiting.append({name: column.cpu() for name, column in columns.items()})
        self._held += _rows(columns)
        self.next += _rows(columns)
        while self._held >= self.rows_per_shard:
            self._write(self.rows_per_shard)

    def flush(self) -> None:
        """Write what is left of the part."""
        if self._held:
            self._write(self._held)

    def gather(self, out: Path) -> None:
        """Move the files of all parts to `out`, with a list of them."""
        files = sorted(self.folder.glob("*.safetensors"))
        for file in files:
            file.rename(out / file.name)
        about = {"rows": self.total, "files": [file.name for file in files]}
        about["rows_per_file"] = self.rows_per_shard
        (out / INDEX).write_text(json.dumps(about, indent=1) + "\n", "utf-8")

    def _write(self, rows: int) -> None:
        """Write the first rows that wait."""
        taken: list[Columns] = []
        while rows:  # what stays keeps its own type: another's float32 is not for the next file
            columns = self._waiting.pop(0)
            here = min(rows, _rows(columns))
            taken.append({name: column[:here] for name, column in columns.items()})
            if here < _rows(columns):
                self._waiting.insert(0, {name: column[here:] for name, column in columns.items()})
            rows, self._held = rows - here, self._held - here
        held = {name: torch.cat([columns[name] for columns in taken]) for name in taken[0]}
        part = self.folder / f"{self._first:06}.part"
        save_file(held, part)
        sync(part)
        part.rename(self.folder / f"{self._number:06}-{digest_file(part)}.safetensors")
        sync(self.folder)
        self._number += 1

    def _whole(self, numbers: range) -> int:
        """Return how many of the files are whole, up to the first that is not; remove the rest."""
        every = sorted(self.folder.glob("*.safetensors"))
        files = [file for file in every if int(file.stem.partition("-")[0]) in numbers]
        whole = 0
        for number, file in zip(numbers, files, strict=False):
            fits = file.stem == f"{number:06}-{digest_file(file)}"
            if not fits or _rows(load_file(file)) != self.rows_per_shard:
                break
            whole += 1
        for file in files[whole:]:
            file.unlink()
        return whole


class Shards:
    """Rows in a folder, by number; few bytes are held on a device, many stay in files."""

    def __init__(self, folder: Path, device: torch.device):
        about = json.loads((folder / INDEX).read_text("utf-8"))
        self.rows: int = about["rows"]
        self._each: int = about["rows_per_file"]
        self._files, self._device = [folder / name for name in about["files"]], device

    def take(self, numbers: Tensor) -> dict[str, Tensor]:
        """Return columns with the rows of these numbers, [batch], in their order."""
        numbers = numbers.to(next(iter(self._columns[0].values())).device)
        if len(self._columns) == 1:
            return {n: _chosen(column, numbers) for n, column in self._columns[0].items()}
        places = [divmod(number, self._each) for number in numbers.tolist()]
        return {name: torch.from_numpy(self._read(name, places)) for name in self._columns[0]}

    def _read(self, name: str, places: Sequence[tuple[int, int]]) -> np.ndarray[Any, np.dtype[Any]]:
        """Return the rows of a column at these files and places, each copied once."""
        there = [self._arrays[file][name] for file, _ in places]
        # a file whose numbers float16 could not hold has float32
        dtype = np.result_type(*{array.dtype for array in there})
        found = np.empty((len(places), *there[0].shape[1:]), dtype)
        for row, (array, (_, place)) in enumerate(zip(there, places, strict=True)):
            found[row] = array[place]
        return found

    @cached_property
    def _columns(self) -> Sequence[Columns]:
        """Every file's tensors; the system reads what is touched, and no more."""
        mapped = [load_file(file) for file in self._files]
        size = sum(column.nbytes for columns in mapped for column in columns.values())
        alike = {tuple((n, c.dtype) for n, c in sorted(columns.items())) for columns in mapped}
        if size > SHARD_BYTES or len(alike) > 1:
            return mapped
        whole = {name: torch.cat([columns[name] for columns in mapped]) for name in mapped[0]}
        return [{name: column.to(self._device) for name, column in whole.items()}]

    @cached_property
    def _arrays(self) -> Sequence[Mapping[str, np.ndarray[Any, np.dtype[Any]]]]:
        """The same memory as arrays: a row of one is copied at a tenth of what torch takes."""
        return [{name: c.numpy() for name, c in columns.items()} for columns in self._columns]


def _rows(columns: Columns) -> int:
    return len(next(iter(columns.values())))


def _chosen(column: Tensor, rows: Tensor) -> Tensor:
    return _signed(column).index_select(0, rows).view(column.dtype)


def _signed(column: Tensor) -> Tensor:
    """Return the same bits as numbers with a sign: torch picks no rows of those without one."""
    return column.view(torch.int16) if column.dtype == torch.uint16 else column
