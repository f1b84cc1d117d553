"""Rows of bytes."""

import pytest
import torch

from edgekd.train.row_layout import RowLayout, joined

ROWS = 5


def columns():
    rng = torch.Generator().manual_seed(0)
    return {
        "half": torch.randn(ROWS, 3, generator=rng).half(),
        "index": torch.randint(0, 2**16, (ROWS, 2, 3), generator=rng).to(torch.uint16),
        "total": torch.randn(ROWS, generator=rng),
        "double": torch.randn(ROWS, 1, generator=rng).double(),
        "flag": torch.tensor([True, False, True, True, False]),
    }


def back(given, rows=ROWS):
    layout = RowLayout.of(given)
    room = layout.room(rows)
    room[:, : layout.row_bytes] = layout.pack(given)
    return layout.unpack(room)


def same(found, expected):
    assert found.dtype == expected.dtype
    return torch.equal(found, expected)


def test_what_was_packed_comes_back_bit_for_bit_whatever_the_types_and_shapes():
    given = columns()
    found = back(given)
    assert set(found) == set(given)
    assert all(same(found[name], column) for name, column in given.items())
    transposed = {"a": torch.arange(6.0).view(2, 3).T.expand(5, 3, 2)}
    assert same(back(transposed)["a"], transposed["a"])


@pytest.mark.parametrize(
    "given",
    [
        {"none": torch.zeros(ROWS, 0), "id": torch.arange(ROWS)},
        {"none": torch.zeros(ROWS, 2, 0)},
        {"half": torch.zeros(0, 3).half(), "flag": torch.zeros(0, dtype=torch.bool)},
        {"none": torch.zeros(0, 0)},
    ],
)
def test_columns_without_numbers_and_without_rows_come_back_too(given):
    rows = len(next(iter(given.values())))
    found = back(given, rows)
    assert all(same(found[name], column) for name, column in given.items())


def test_a_row_takes_the_bytes_of_its_numbers_and_none_between_them():
    layout = RowLayout.of(columns())
    assert layout.row_bytes == 3 * 2 + 6 * 2 + 4 + 8 + 1
    sizes = [field.dtype.itemsize for field in layout.fields]
    assert sizes == sorted(sizes, reverse=True)


def test_a_layout_is_read_as_it_was_written():
    layout = RowLayout.of(columns())
    assert RowLayout.read(layout.text()) == layout


def test_rows_of_several_parts_take_their_places_and_lose_no_precision():
    first = {"a": torch.tensor([0.5, 0.25]).half(), "i": torch.tensor([1, 65535]).to(torch.uint16)}
    second = {"a": torch.tensor([1e6]), "i": torch.tensor([7]).to(torch.uint16)}
    found = joined([(torch.tensor([2, 0]), first), (torch.tensor([1]), second)])
    assert same(found["a"], torch.tensor([0.25, 1e6, 0.5]))
    assert same(found["i"], torch.tensor([65535, 7, 1]).to(torch.uint16))
