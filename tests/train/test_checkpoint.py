"""Checkpoints: when they are due, what is kept of them, and what is not believed."""

import errno
import os

import pytest
import torch
from safetensors import SafetensorError

from edgekd.core.checkpoint import Checkpoint
from edgekd.core.errors import StageError
from edgekd.core.refs import UseTask
from edgekd.testing.runs import ExampleRun
from edgekd.train import checkpoint
from edgekd.train.checkpoint import Checkpoints, packed

TASK = UseTask.model_validate({"kind": "image_classification", "data": "digits"}).build()


@pytest.fixture
def run(tmp_path):
    return ExampleRun(tmp_path, TASK)


def state(step):
    return {"step": step, "weight": torch.full((3,), float(step))}


def test_the_newest_two_are_kept_and_the_newest_is_read(run):
    kept = Checkpoints(run)
    for step in (1, 5, 12):
        assert kept.write(step, state(step))
    assert [file.name[:14] for file in kept.files()] == ["step-000000012", "step-000000005"]
    found = next(Checkpoints(run).states())
    assert found["step"] == 12
    assert torch.equal(found["weight"], torch.full((3,), 12.0))


def test_nothing_else_is_left_in_the_folder(run):
    kept = Checkpoints(run)
    kept.write(1, state(1))
    assert [file.suffix for file in run.unfinished.iterdir()] == [".safetensors"]


def test_a_checkpoint_is_on_the_disk_before_it_takes_its_name(run, disk):
    kept = Checkpoints(run)
    kept.write(1, state(1))
    (file,) = kept.files()
    folder = run.unfinished
    assert disk == [("sync", folder / "checkpoint.part"), ("name", file), ("sync", folder)]


def test_a_write_that_fails_takes_none_of_the_earlier_away(run, monkeypatch):
    kept = Checkpoints(run)
    for step in (1, 2):
        kept.write(step, state(step))
    monkeypatch.setattr(checkpoint, "digest_file", refuse)
    assert not kept.write(3, state(3))
    assert [file.name[:14] for file in kept.files()] == ["step-000000002", "step-000000001"]


def refuse(*_):
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_they_are_due_after_so_many_steps_or_seconds(run, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    run.checkpoint = Checkpoint(every_s=30, every_steps=4)
    kept = Checkpoints(run)
    assert [step for step in range(1, 6) if kept.due(step)] == [4, 5]
    kept.write(5, state(5))
    assert not kept.due(8)
    assert kept.due(9)
    now[0] += 30
    assert kept.due(6)


def test_one_that_takes_long_is_written_less_often(run, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: clock[0])
    run.checkpoint = Checkpoint(every_s=30)
    kept = Checkpoints(run)

    def slow(*_):
        clock[0] += 4
        return packed({"a": 1})

    monkeypatch.setattr(checkpoint, "packed", slow)
    kept.write(1, {})
    clock[0] += 79
    assert not kept.due(2), "it took 4 s: 80 s must pass"
    clock[0] += 1
    assert kept.due(2)


def test_one_that_was_read_counts_as_written(run):
    run.checkpoint = Checkpoint(every_steps=4)
    Checkpoints(run).write(10, state(10))
    kept = Checkpoints(run)
    next(kept.states())
    assert not kept.due(13)
    assert kept.due(14)


def test_no_byte_can_change_unnoticed(run):
    Checkpoints(run).write(1, state(1))
    (file,) = run.unfinished.iterdir()
    whole = file.read_bytes()
    for place in range(0, len(whole), 7):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        assert list(Checkpoints(run).states()) == []
        file.write_bytes(whole)
    assert len(run.notices) == len(range(0, len(whole), 7))
    assert next(Checkpoints(run).states())["step"] == 1


def test_a_renamed_one_is_not_believed(run):
    Checkpoints(run).write(1, state(1))
    (file,) = run.unfinished.iterdir()
    file.write_bytes(b"x")
    digest = checkpoint.digest_file(file)
    file.rename(run.unfinished / f"step-000000001-{digest}.safetensors")
    assert list(Checkpoints(run).states()) == []
    assert "step-000000001 cannot be used" in run.notices[0]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        torch.OutOfMemoryError("CUDA out of memory. Tried"),
        OSError(errno.EIO, os.strerror(errno.EIO)),
        OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
        PermissionError(errno.EACCES, os.strerror(errno.EACCES)),
        SafetensorError("Cannot allocate memory (os error 12)"),
    ],
)
@pytest.mark.parametrize("reader", ["digest_file", "load_file"])
def test_what_the_machine_lacks_is_raised_and_removes_none(run, monkeypatch, reader, error):
    kept = Checkpoints(run)
    for step in (1, 2):
        kept.write(step, state(step))

    def refuse(*_):
        raise error

    monkeypatch.setattr(checkpoint, reader, refuse)
    with pytest.raises(type(error)) as caught:
        next(Checkpoints(run).states())
    assert caught.value is error
    assert len(kept.files()) == 2
    assert not run.notices


def test_a_folder_in_its_place_is_passed_over(run):
    (run.unfinished / "step-000000001-ab.safetensors").mkdir()
    assert list(Checkpoints(run).states()) == []
    assert "step-000000001 cannot be used" in run.notices[0]


def test_a_full_disk_is_told_once_and_ends_nothing(run, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint, "sync", full)
    kept = Checkpoints(run)
    assert not kept.write(1, state(1))
    assert not kept.write(2, state(2))
    (notice,) = run.notices
    assert "no checkpoint could be written after step 1" in notice
    assert "No space left" in notice
    assert list(run.unfinished.iterdir()) == []


def test_a_folder_that_is_gone_is_told(run):
    kept = Checkpoints(run)
    run.unfinished.rmdir()
    assert not kept.write(1, state(1))
    assert "no checkpoint could be written" in run.notices[0]


def test_a_state_that_cannot_be_kept_is_told_with_its_place():
    with pytest.raises(StageError, match=r"(?s)\['mine'\]\['seen'\] is a set.*state_dict\(\) must"):
        packed({"mine": {"seen": {1}}})
