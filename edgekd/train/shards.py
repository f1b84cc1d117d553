"""Columns of tensors on disk in files of a few dozen megabytes, read through a memory map.

Rows are numbered from 0; all columns of a row lie side by side as bytes. A file is written whole
under a name with the digest of its content, so what an interrupted run left is known to be whole,
and is taken up where it ends. Any number of processes can read.
"""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from edgekd.core.artifact import digest_file, sync
from edgekd.train.row_layout import Columns, RowLayout, Rows, chosen, joined

SHARD_BYTES = 64 * 2**20
"""Most of a file; where all files together are no larger, they are read into memory at once."""
PARTS = 16
"""Files at least, unless they were tiny: an interruption costs one of them."""
FEWEST_ROWS = 256
INDEX = "shards.json"
ROWS, LAYOUT = "rows", "layout"
"""A file's one tensor, and the entry of its header that tells what the bytes of a row are."""


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
        part, layout = self.folder / f"{self._first:06}.part", RowLayout.of(held)
        save_file({ROWS: layout.pack(held)}, part, {LAYOUT: layout.text()})
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
            if not fits or len(_load(file)[1]) != self.rows_per_shard:
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
        if self._held is not None:
            numbers = numbers.to(self._device)
            return {name: chosen(column, numbers) for name, column in self._held.items()}
        places = [divmod(number, self._each) for number in numbers.tolist()]
        kinds = [self._kinds[file] for file, _ in places]
        if len(set(kinds)) == 1:
            return self._read(places)
        parts = []
        for kind in set(kinds):
            rows = [row for row, own in enumerate(kinds) if own == kind]
            read = self._read([places[row] for row in rows])
            parts.append((torch.tensor(rows, device=self._device), read))
        return joined(parts)

    def _read(self, places: Sequence[tuple[int, int]]) -> dict[str, Tensor]:
        """Return the columns of rows at these places of files alike, each row copied once."""
        layout = self._mapped[places[0][0]][0]
        room = layout.room(len(places), pinned=self._device.type == "cuda")
        into = room.numpy()[:, : layout.row_bytes]
        for there, (file, place) in zip(into, places, strict=True):
            there[...] = self._arrays[file][place]
        return layout.unpack(room.to(self._device, non_blocking=True))

    @cached_property
    def _mapped(self) -> Sequence[tuple[RowLayout, Rows]]:
        """Every file's rows; the system reads what is touched, and no more."""
        return [_load(file) for file in self._files]

    @cached_property
    def _kinds(self) -> Sequence[int]:
        """Of each file the first that has the same layout."""
        layouts = [layout for layout, _ in self._mapped]
        return [layouts.index(layout) for layout in layouts]

    @cached_property
    def _arrays(self) -> Sequence[np.ndarray[Any, np.dtype[np.uint8]]]:
        """The same memory as arrays: a row of one is copied at a tenth of what torch takes."""
        return [rows.numpy() for _, rows in self._mapped]

    @cached_property
    def _held(self) -> Columns | None:
        """All columns on the device, where they are few bytes of one layout."""
        layouts, rows = zip(*self._mapped, strict=True)
        if sum(part.nbytes for part in rows) > SHARD_BYTES or len(set(layouts)) > 1:
            return None
        room = layouts[0].room(self.rows)
        room[:, : layouts[0].row_bytes] = torch.cat(rows)
        return {n: c.to(self._device).contiguous() for n, c in layouts[0].unpack(room).items()}


def _load(file: Path) -> tuple[RowLayout, Rows]:
    """Return a file's rows through a memory map, and what they are."""
    with safe_open(file, "pt") as mapped:
        return RowLayout.read(mapped.metadata()[LAYOUT]), mapped.get_tensor(ROWS)


def _rows(columns: Columns) -> int:
    return len(next(iter(columns.values())))
