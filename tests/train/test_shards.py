"""Columns on disk."""

import pytest
import torch
from safetensors import safe_open

from edgekd.train import shards
from edgekd.train.row_layout import RowLayout
from edgekd.train.shards import Shards, ShardWriter

CPU = torch.device("cpu")


def type_of(file, name):
    """Return the type that a file's header gives to a column."""
    with safe_open(file, "pt") as opened:
        layout = RowLayout.read(opened.metadata()["layout"])
    return next(field.dtype for field in layout.fields if field.name == name)


ROWS = 1000


def columns(first=0, last=ROWS):
    numbers = torch.arange(first, last)
    return {"a": numbers.float()[:, None] * torch.tensor([1.0, 2.0]), "b": numbers.to(torch.uint16)}


def written(folder, out, pieces=(300, 300, 400), close=True, of=1):
    """Write the rows in so many parts, each cut into the same pieces."""
    folder.mkdir(exist_ok=True)
    out.mkdir(exist_ok=True)
    for which in range(of):
        writer = ShardWriter(folder, ROWS, 10, (which, of))
        ends = torch.tensor(pieces).cumsum(0).tolist()
        for begin, end in zip([0, *ends], ends, strict=False):
            first, last = max(begin, writer.next), min(end, writer.end)
            if first < last:
                writer.append(columns(first, last))
        if close:
            writer.flush()
    if close:
        writer.gather(out)
    return writer


@pytest.mark.parametrize("held", [True, False])
def test_rows_come_back_in_the_order_they_are_asked_for(tmp_path, held, monkeypatch):
    written(tmp_path / "w", tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*.safetensors"))) == 4
    monkeypatch.setattr(shards, "SHARD_BYTES", 2**20 if held else 0)
    found = Shards(tmp_path / "out", CPU)
    assert found.rows == ROWS
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(0))
    taken = found.take(order)
    assert all(torch.equal(taken[name], column[order]) for name, column in columns().items())
    assert taken["b"].dtype == torch.uint16
    assert found.take(torch.tensor([999, 0, 999]))["b"].tolist() == [999, 0, 999]


def test_any_cut_into_batches_gives_the_same_files(tmp_path):
    written(tmp_path / "1", tmp_path / "a")
    written(tmp_path / "2", tmp_path / "b", pieces=(7,) * 142 + (6,))
    first, second = ({f.name: f.read_bytes() for f in (tmp_path / n).iterdir()} for n in "ab")
    assert first == second


@pytest.mark.parametrize("of", [2, 3, 4, 7])
def test_any_number_of_writers_gives_the_same_files(tmp_path, of):
    written(tmp_path / "1", tmp_path / "a")
    written(tmp_path / "2", tmp_path / "b", of=of)
    first, second = ({f.name: f.read_bytes() for f in (tmp_path / n).iterdir()} for n in "ab")
    assert first == second


@pytest.mark.parametrize("of", [1, 2, 3])
def test_writers_of_another_number_take_up_what_was_left(tmp_path, of):
    written(tmp_path / "1", tmp_path / "a")
    (tmp_path / "2").mkdir()
    for which, rows in ((0, 300), (1, 512)):  # the first has one file on disk, the second both
        writer = ShardWriter(tmp_path / "2", ROWS, 10, (which, 2))
        assert (writer.begin, writer.end) == ((0, 512), (512, ROWS))[which]
        writer.append(columns(writer.begin, min(writer.begin + rows, writer.end)))
        if which:
            writer.flush()
    found = ShardWriter(tmp_path / "2", ROWS, 10, (0, 2))
    assert found.next == 256
    written(tmp_path / "2", tmp_path / "b", of=of)
    first, second = ({f.name: f.read_bytes() for f in (tmp_path / n).iterdir()} for n in "ab")
    assert first == second


def test_what_an_interrupted_writer_left_is_taken_up(tmp_path):
    written(tmp_path / "w", tmp_path / "whole")
    left = written(tmp_path / "v", tmp_path / "out", pieces=(300, 300), close=False)
    assert left.next == 600
    again = ShardWriter(tmp_path / "v", ROWS, 10)
    assert again.next == 512  # two files of 256; the rest was never on the disk
    written(tmp_path / "v", tmp_path / "out")
    names = [{f.name for f in (tmp_path / n).iterdir()} for n in ("whole", "out")]
    assert names[0] == names[1]


@pytest.mark.parametrize("harm", ["cut", "flip", "gone"])
def test_a_damaged_file_and_all_after_it_are_written_again(tmp_path, harm):
    written(tmp_path / "v", tmp_path / "out", pieces=(300, 300), close=False)
    first = min((tmp_path / "v").glob("*.safetensors"))
    content = bytearray(first.read_bytes())
    content[len(content) // 2] ^= 1
    first.write_bytes(content if harm == "flip" else content[:-5])
    if harm == "gone":
        first.unlink()
    assert ShardWriter(tmp_path / "v", ROWS, 10).next == 0
    assert not list((tmp_path / "v").glob("*.safetensors"))


def test_a_file_of_more_precise_numbers_is_read_beside_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_BYTES", 2600)
    (tmp_path / "w").mkdir()
    writer = ShardWriter(tmp_path / "w", 512, 10)
    writer.append({"a": torch.full((260,), 0.5).half()})
    writer.append({"a": torch.full((252,), 1e6)})
    writer.flush()
    writer.gather(tmp_path)
    kinds = {type_of(f, "a") for f in tmp_path.glob("*.safetensors")}
    assert kinds == {torch.float32, torch.float16}
    found = Shards(tmp_path, CPU).take(torch.tensor([0, 511, 1]))["a"]
    assert found.tolist() == [0.5, 1e6, 0.5]


@pytest.mark.parametrize("of", [1, 2])
def test_one_large_number_makes_no_other_file_more_precise(tmp_path, of):
    (tmp_path / "w").mkdir()
    for which in range(of):
        writer = ShardWriter(tmp_path / "w", 1024, 10, (which, of))
        if which == 0:
            writer.append({"a": torch.full((100,), 1e6)})
        writer.append({"a": torch.full((writer.end - writer.next,), 0.5).half()})
        writer.flush()
    kinds = [type_of(f, "a") for f in sorted((tmp_path / "w").glob("*.safetensors"))]
    assert kinds == [torch.float32] + 3 * [torch.float16]


def test_a_file_holds_no_more_than_it_may(tmp_path):
    tmp_path.joinpath("w").mkdir()
    assert ShardWriter(tmp_path / "w", 10**9, 10**6).rows_per_shard == 67
    assert ShardWriter(tmp_path / "w", 1000, 10).rows_per_shard == 256
    assert ShardWriter(tmp_path / "w", 16_000, 10).rows_per_shard == 1000
