"""The disk under the store."""

import re
import time
from pathlib import Path

import pytest

from edgekd.cli.checks import storage
from edgekd.core.artifact import Manifest
from edgekd.pipeline.store import Store, list_files


def test_little_space_is_wrong(tmp_path):
    (only,) = storage.disk(tmp_path / "to" / "come", free=2**30)
    assert (only.level, only.found) == ("wrong", f"1.0 GiB for {tmp_path / 'to' / 'come'}")
    assert "edgekd gc" in only.cure
    assert next(storage.disk(tmp_path, free=2**40)).ok


def test_a_good_disk_locks_and_keeps_and_nothing_is_left_on_it(tmp_path):
    found = list(storage.writable(tmp_path / "store"))
    assert [f.what for f in found] == ["file locks", "disk"]
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_wrong(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(storage.tempfile, "TemporaryDirectory", refuse)
    (only,) = storage.writable(tmp_path)
    assert only.found == f"{tmp_path} cannot be written: Permission denied"


class NoLock:
    """A lock of a file system that has none, or pretends to."""

    error: Exception | None = None

    def __init__(self, file, **_):
        pass

    def acquire(self, timeout):
        if self.error:
            raise self.error
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.mark.parametrize(
    ("error", "says"),
    [(None, "a lock can be taken twice"),
     (NotImplementedError("no flock"), "do not work: no flock"),
     (OSError(37, "No locks available"), "No locks available")],
)  # fmt: skip
def test_locks_that_do_not_hold_are_wrong(error, says, tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "FileLock", NoLock)
    monkeypatch.setattr(NoLock, "error", error)
    (only,) = storage.locking(tmp_path, tmp_path)
    assert only.level == "wrong"
    assert says in only.found
    assert "--store on a local disk" in only.cure


def test_a_slow_disk_is_a_hint(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "SLOW_S", 0.005)
    (slow,) = storage.syncing(tmp_path, tmp_path, sync=lambda _: time.sleep(0.01))
    assert slow.level == "hint"
    took = re.fullmatch(rf"a small file takes ([0-9.]+) s to be safe on {tmp_path}", slow.found)
    assert float(took[1]) >= 0.01  # a busy machine sleeps longer
    assert next(storage.syncing(tmp_path, tmp_path, sync=lambda _: None)).level == "ok"


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store")
    store.prepare()
    for name in "abc":
        key = name * 64
        with store.filling(key) as out:
            (out / "weights").write_text(name)
            manifest = Manifest(key, name, "", "", {}, {}, {}, list_files(out), "", 1, 1, {})
            store.commit(manifest, out)
    return store


def test_results_that_were_altered_are_counted_and_named(store):
    assert (
        next(storage.results(store.root)).found == f"3 in {store.root} are as they were committed"
    )
    (store.folder("b" * 64) / "weights").write_text("x")
    (store.folder("c" * 64) / "manifest.json").unlink()
    (only,) = storage.results(store.root)
    assert only.level == "wrong"
    assert only.found.startswith(f"2 of 3 in {store.root} were altered: ")
    assert f"{'b' * 20} (weights was altered)" in only.found
    assert f"{'c' * 20} (manifest.json is missing)" in only.found


def test_looking_ends_in_time_and_says_how_far_it_came(store):
    assert next(storage.results(store.root, limit_s=-1)).found.startswith("0 of 3 in")
    assert not list(storage.results(store.root / "none"))


def test_a_program_that_executorch_needs_and_that_cannot_start_is_wrong(tmp_path):
    assert not list(storage.flatc())
    program = tmp_path / "flatc"
    program.write_text("#!/bin/sh\nexit 4\n")
    (denied,) = storage.flatc(program)
    program.chmod(0o700)
    (failed,) = storage.flatc(program)
    assert "Permission denied" in denied.found
    assert "it ended with status 4" in failed.found
    assert "--force-reinstall" in failed.cure


def test_the_folder_above_stands_for_one_that_is_not_there_yet(tmp_path):
    assert storage.nearest_folder(tmp_path / "a" / "b") == tmp_path
    assert storage.nearest_folder(Path("nowhere")) == Path.cwd()
