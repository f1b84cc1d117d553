"""Rows of several columns as rows of bytes: what is read together lies together."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import accumulate
from math import prod

import torch
from jaxtyping import UInt8
from torch import Tensor

Columns = Mapping[str, Tensor]
"""Tensors by name with the same first dimension."""
Rows = UInt8[Tensor, "rows bytes"]
ALIGNED = 8
"""Bytes of the largest number; rows so far apart can be looked at as numbers where they lie."""


@dataclass(frozen=True)
class Field:
    """One column's part of a row."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes of a row."""
        return self.dtype.itemsize * prod(self.shape)


@dataclass(frozen=True)
class RowLayout:
    """The parts of a row in their order: the largest numbers first, so that all are aligned."""

    fields: tuple[Field, ...]

    @staticmethod
    def of(columns: Columns) -> "RowLayout":
        """Return the layout of some columns."""
        fields = [Field(name, c.dtype, tuple(c.shape[1:])) for name, c in columns.items()]
        return RowLayout(tuple(sorted(fields, key=lambda field: -field.dtype.itemsize)))

    @staticmethod
    def read(text: str) -> "RowLayout":
        """Return what `text` has written."""
        fields = json.loads(text)
        return RowLayout(tuple(Field(n, getattr(torch, t), tuple(s)) for n, t, s in fields))

    def text(self) -> str:
        """Return it as a list of name, type and shape in JSON."""
        return json.dumps(
            [[f.name, str(f.dtype).removeprefix("torch."), f.shape] for f in self.fields]
        )

    @cached_property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return sum(field.size for field in self.fields)

    def pack(self, columns: Columns) -> Rows:
        """Return the rows of columns that have this layout."""
        flat = [(columns[f.name], prod(f.shape)) for f in self.fields]
        parts = [column.reshape(len(column), numbers) for column, numbers in flat]
        return torch.cat([part.contiguous().view(torch.uint8) for part in parts], 1)

    def room(self, rows: int, *, pinned: bool = False) -> Rows:
        """Return memory for so many rows, each with as many bytes to spare as aligns the next."""
        apart = max(1, -(-self.row_bytes // ALIGNED)) * ALIGNED
        return torch.empty(rows, apart, dtype=torch.uint8, pin_memory=pinned)

    def unpack(self, rows: Rows) -> dict[str, Tensor]:
        """Return the columns, as views of the rows in such a room."""
        count, apart = rows.shape
        as_numbers = {dtype: rows.view(dtype) for dtype in {f.dtype for f in self.fields}}
        return {
            field.name: as_numbers[field.dtype].as_strided(
                (count, *field.shape), (apart // field.dtype.itemsize, *steps), place
            )
            for field, steps, place in self._places
        }

    @cached_property
    def _places(self) -> Sequence[tuple[Field, tuple[int, ...], int]]:
        """Of each field the numbers between neighbours in each dimension, and those before it."""
        begins = accumulate((field.size for field in self.fields), initial=0)
        return [
            (field, torch.empty(field.shape, device="meta").stride(), begin // field.dtype.itemsize)
            for field, begin in zip(self.fields, begins, strict=False)
        ]


def joined(parts: Sequence[tuple[Tensor, Columns]]) -> dict[str, Tensor]:
    """Return columns of parts, each with the numbers of its rows: together all from 0.

    Where parts hold a column in several types, it gets the one that holds all of their numbers.
    """
    order = torch.cat([numbers for numbers, _ in parts]).argsort()
    found = {}
    for name in parts[0][1]:
        columns = [columns[name] for _, columns in parts]
        dtype = reduce(torch.promote_types, (column.dtype for column in columns))
        found[name] = chosen(torch.cat([column.to(dtype) for column in columns]), order)
    return found


def chosen(column: Tensor, rows: Tensor) -> Tensor:
    """Return the rows of these numbers, [batch, ...]."""
    # the same bits as numbers with a sign: torch picks no rows of those without one
    signed = column.view(torch.int16) if column.dtype == torch.uint16 else column
    return signed.index_select(0, rows).view(column.dtype)
