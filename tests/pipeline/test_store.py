"""Results are there whole or not at all."""

import dataclasses
import errno
import json
import os
import tempfile
import threading

import pytest

from edgekd.core.artifact import Manifest, digest_json
from edgekd.core.errors import RequestError
from edgekd.pipeline import digests as module
from edgekd.pipeline.digests import Digests
from edgekd.pipeline.kept import replacing
from edgekd.pipeline.store import Store, list_files

KEY = "ab" * 32


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "st öre")
    store.prepare()
    return store


def manifest(out, key=KEY):
    return Manifest(
        key=key, stage="s", kind="teacher", makes="model", identity={"seed": 0}, inputs={},
        facts={}, files=list_files(out), started_at="2026-01-01T00:00:00+00:00", seconds=1.0,
        cpu_seconds=1.0, host={},
    )  # fmt: skip


def fill(store, key=KEY, content="weights"):
    with store.filling(key) as out:
        (out / "inner").mkdir()
        (out / "inner" / "w").write_text(content)
        store.commit(manifest(out, key), out)


def test_a_committed_result_is_found_with_its_files(store):
    fill(store)
    found = store.look(KEY).manifest
    assert found is not None
    assert list(found.files) == ["inner/w"]
    assert (store.folder(KEY) / "inner" / "w").read_text() == "weights"


def test_a_result_is_on_the_disk_before_it_takes_its_place(store, disk):
    fill(store)
    at = disk.index(("name", store.folder(KEY)))
    synced = {path.name.partition("-")[0] for what, path in disk[:at] if what == "sync"}
    assert synced == {"w", "inner", "manifest.json", KEY[:20]}
    assert disk[at + 1 :] == [("sync", store.root / "results")]


def test_a_note_is_on_the_disk_before_it_takes_its_name(store, disk):
    store.remember("p", "s", KEY)
    (synced, part), named = disk
    assert (synced, part.parent) == ("sync", store.root / "latest" / "p")
    assert named == ("name", store.root / "latest" / "p" / "s")


def test_an_earlier_text_stays_until_the_new_one_is_whole(tmp_path):
    def fail():
        with replacing(path) as part:
            part.write_text("half of a new o")
            assert path.read_text() == "old"
            raise ZeroDivisionError

    path = tmp_path / "note"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "old"


def test_nothing_is_left_of_a_stage_that_failed(store):
    def fail():
        with store.filling(KEY) as out:
            (out / "half").write_text("...")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert store.look(KEY).manifest is None
    assert not list((store.root / "tmp").iterdir())


@pytest.mark.parametrize("harm", ["delete", "shorten", "flip", "manifest", "half a manifest"])
def test_a_harmed_result_is_not_found_and_can_be_made_again(store, harm):
    fill(store)
    folder = store.folder(KEY)
    if harm == "delete":
        (folder / "inner" / "w").unlink()
    elif harm == "shorten":
        (folder / "inner" / "w").write_text("weigh")
    elif harm == "flip":
        (folder / "inner" / "w").write_text("weighty")
    elif harm == "manifest":
        (folder / "manifest.json").unlink()
    else:
        (folder / "manifest.json").write_text('{"key": "x"')
    assert store.look(KEY).manifest is None
    fill(store)
    assert store.look(KEY).manifest is not None


def test_a_result_under_another_key_is_not_taken_for_it(store):
    fill(store)
    other = KEY[:20] + "c" * 44
    assert store.look(other).manifest is None


def test_the_newest_result_of_a_stage_is_remembered(store):
    fill(store)
    store.remember("p", "s", KEY)
    assert store.latest("p", "s") == store.look(KEY).manifest
    assert store.latest("p", "other") is None


def test_a_digest_follows_content_and_not_name_or_place(store, tmp_path):
    digests = Digests(store.root / "digests.json")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("same")
    assert digests.of(tmp_path / "a") == digests.of(tmp_path / "b")
    (tmp_path / "b" / "x").write_text("other")
    assert digests.of(tmp_path / "a") != digests.of(tmp_path / "b")
    digests.save()
    assert Digests(store.root / "digests.json").of(tmp_path / "a") == digests.of(tmp_path / "a")


def test_a_store_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="cannot be written"):
        Store(tmp_path / "file" / "store").prepare()


@pytest.mark.parametrize("change", [('"kind"', '"kynd"'), ('"seed": 0', '"seed": 1')])
def test_a_manifest_that_was_altered_is_no_manifest(store, change):
    fill(store)
    path = store.folder(KEY) / "manifest.json"
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(ValueError, match="not what was written"):
        Manifest.read(store.folder(KEY))
    assert store.look(KEY).harm == "manifest.json was altered"


def test_a_manifest_of_other_fields_is_no_manifest(store):
    fill(store)
    path = store.folder(KEY) / "manifest.json"
    fields = {"key": KEY}
    path.write_text(json.dumps(fields | {"seal": digest_json(fields)}))
    with pytest.raises(ValueError, match="does not say what a manifest says"):
        Manifest.read(store.folder(KEY))


def test_what_was_put_into_a_result_is_found_out(store):
    fill(store)
    (store.folder(KEY) / "inner" / "more").write_text("")
    assert store.look(KEY).harm == "inner/more was put there"
    (store.folder(KEY) / "inner" / "link").symlink_to(store.root)
    assert store.look(KEY).harm == "inner/link was put there"


def test_two_results_with_the_same_files_have_the_same_content(store):
    fill(store)
    fill(store, "cd" * 32)
    fill(store, "ef" * 32, "other")
    first, second, third = (store.look(key).manifest.content for key in (KEY, "cd" * 32, "ef" * 32))
    assert first == second != third


def test_a_folder_that_nobody_fills_any_more_is_swept_and_one_that_is_filled_is_not(store):
    with store.locked(KEY, waiting=list), store.filling(KEY) as out:
        (out / "w").write_text("")
        left = store.root / "tmp" / f"{'0' * 20}-left"
        left.mkdir()
        Store(store.root).prepare()
        assert out.exists()
        assert not left.exists()


def test_who_waits_for_a_lock_is_told(store):
    told, done = threading.Event(), []

    def second():
        with Store(store.root).locked(KEY, told.set):
            done.append(True)

    with store.locked(KEY, waiting=list):
        thread = threading.Thread(target=second, daemon=True)
        thread.start()
        assert told.wait(60)
        assert not done
    thread.join(60)
    assert done


def test_a_file_that_changed_a_moment_ago_is_read_again(store, tmp_path):
    (tmp_path / "x").write_text("a")
    digests = Digests(store.root / "digests.json")
    first = digests.of(tmp_path / "x")
    stat = (tmp_path / "x").stat()
    (tmp_path / "x").write_text("b")
    os.utime(tmp_path / "x", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert digests.of(tmp_path / "x") != first


def test_the_names_within_a_folder_count(store, tmp_path):
    digests = Digests(store.root / "digests.json")
    for name in ("a", "b"):
        (tmp_path / name / name).mkdir(parents=True)
        (tmp_path / name / name / "x").write_text("same")
    assert digests.of(tmp_path / "a") != digests.of(tmp_path / "b"), "a folder can be a label"


def test_what_may_change_within_a_tick_of_its_clock_is_not_remembered(store, tmp_path):
    (tmp_path / "x").write_text("a")
    digests = Digests(store.root / "digests.json")
    digests.of(tmp_path / "x")
    digests.save()
    assert not (store.root / "digests.json").exists()


def test_a_file_at_rest_is_read_once_and_again_where_only_its_time_of_change_tells(
    store, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "SECONDS_TO_SETTLE", -1)
    read, path = [], tmp_path / "x"
    whole = module.digest_file
    monkeypatch.setattr(module, "digest_file", lambda path: read.append(path) or whole(path))
    path.write_text("a")
    digests, before = Digests(store.root / "digests.json"), path.stat()
    assert digests.of(path) == digests.of(path)
    assert read == [path]
    first = digests.of(path)
    while path.stat().st_ctime_ns == before.st_ctime_ns:  # both may fall into one tick
        path.write_text("b")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert digests.of(path) != first


def test_manifests_are_frozen():
    manifest = Manifest("", "", "", "", {}, {}, {}, {}, "", 0.0, 0.0, {})
    with pytest.raises(dataclasses.FrozenInstanceError):
        manifest.key = "x"


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_refused(store, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    with (
        pytest.raises(RequestError, match="file system without locks"),
        store.locked(KEY, waiting=list),
    ):
        pass


def test_a_manifest_that_may_not_be_read_is_no_damage(store, monkeypatch):
    def refuse(_):
        raise PermissionError(errno.EACCES, "Permission denied", "manifest.json")

    fill(store)
    monkeypatch.setattr(Manifest, "read", refuse)
    with pytest.raises(PermissionError):
        store.look(KEY)


def test_a_result_that_vanishes_while_it_is_read_is_absent(store, monkeypatch):
    fill(store)
    read = Manifest.read

    def take_out(folder):
        manifest = read(folder)
        (folder / "inner" / "w").unlink()
        (folder / "inner").rmdir()
        folder.rename(folder.with_name("elsewhere"))
        return manifest

    monkeypatch.setattr(Manifest, "read", take_out)
    assert store.look(KEY).manifest is None


def test_what_is_taken_out_is_not_swept_by_another_run_meanwhile(store, monkeypatch):
    fill(store)
    made = tempfile.mkdtemp

    def sweep_between(*given, **named):
        folder = made(*given, **named)
        Store(store.root).prepare()
        return folder

    monkeypatch.setattr(tempfile, "mkdtemp", sweep_between)
    store.remove(store.folder(KEY))
    assert store.look(KEY).manifest is None


def test_what_a_kill_left_half_written_goes_after_a_while(store):
    old, new = store.root / "latest" / "p" / ".part-a", store.root / ".part-b"
    old.parent.mkdir()
    for part in (old, new):
        part.write_text("")
    os.utime(old, (0, 0))
    store.prepare()
    assert not old.exists()
    assert new.exists()
