"""Cleaning a store."""

import os
import shutil
import subprocess
import sys
import time

import pytest

from edgekd.core.artifact import Manifest
from edgekd.pipeline import garbage
from edgekd.pipeline.garbage import Rules, find_garbage, remove
from edgekd.pipeline.records import Record, RunFolders
from edgekd.pipeline.store import Store, list_files

DAY = 86400
HOLD = """\
import sys, time
from pathlib import Path
from edgekd.pipeline.store import Store
with Store(Path(sys.argv[1])).locked(sys.argv[2], lambda: None):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store")
    store.prepare()
    return store


@pytest.fixture
def runs(tmp_path):
    return RunFolders(tmp_path / "runs")


@pytest.fixture
def held(store):
    """Return a function that has another process hold a lock until the test ends."""
    processes = []

    def hold(key):
        command = [sys.executable, "-c", HOLD, str(store.root), key]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout.readline() == "held\n"

    yield hold
    for process in processes:
        process.kill()
        process.communicate()


def key_of(name):
    return (name * 64)[:64]


def put(store, name, days=0.0, size=100, pipeline=None):
    """Make a result that was used so many days ago, maybe last by a pipeline."""
    key = key_of(name)
    with store.filling(key) as out:
        (out / "weights").write_bytes(bytes(size))
        manifest = Manifest(
            key, name, "teacher", "model", {}, {}, {}, list_files(out), "", 1, 1, {}
        )
        store.commit(manifest, out)
    if pipeline:
        store.remember(pipeline, name, key)
    age(store.folder(key), days)
    return key


def age(path, days):
    then = time.time() - days * DAY
    for inner in (*path.rglob("*"), path):
        os.utime(inner, (then, then))


def record(runs, name, key):
    found = Record(
        name=name, file="f.yaml", command="edgekd run", finished_at="2026-01-01T00:00:00+00:00",
        exit_code=0, keys={"x": key}, contents={"x": "1"}, results={}, gates=(),
    )  # fmt: skip
    runs.write(found, runs.of(found))


def stages(items):
    return [item.stage for item in items]


def test_without_a_rule_no_result_goes(store, runs):
    put(store, "a", days=1000)
    assert not find_garbage(store, runs, Rules())


def test_what_was_not_used_for_long_goes_and_use_keeps_it(store, runs):
    key = put(store, "a", days=40)
    put(store, "b", days=10)
    assert stages(find_garbage(store, runs, Rules(older_than_s=30 * DAY))) == ["a"]
    store.remember("p", "a", key)
    assert not find_garbage(store, runs, Rules(older_than_s=30 * DAY))


def test_the_longest_unused_go_until_the_store_is_small_enough(store, runs):
    for days, name in enumerate("abcd"):
        put(store, name, days, size=10_000)
    found = find_garbage(store, runs, Rules(keep_bytes=25_000))
    assert stages(found) == ["d", "c"]
    assert {item.why for item in found} == {"the store is larger than --keep-size"}
    assert stages(find_garbage(store, runs, Rules(keep_bytes=0))) == ["d", "c", "b", "a"]
    assert not find_garbage(store, runs, Rules(keep_bytes=10**6))


def test_what_goes_by_age_counts_before_the_size_is_looked_at(store, runs):
    for days, name in enumerate("abcd"):
        put(store, name, days, size=10_000)
    found = find_garbage(store, runs, Rules(older_than_s=3 * DAY, keep_bytes=25_000))
    assert stages(found) == ["d", "c"]
    assert found[0].why == "not used for 3 days"


def test_leftovers_that_go_count_before_the_size_is_looked_at(store, runs):
    for days, name in enumerate("ab"):
        put(store, name, days, size=10_000)
    (store.root / "logs" / "x.log").write_bytes(bytes(30_000))
    age(store.root / "logs" / "x.log", 31)
    found = find_garbage(store, runs, Rules(keep_bytes=25_000))
    assert [item.what for item in found] == ["log"]


def test_what_a_run_has_or_a_pipeline_used_last_is_referenced(store, runs):
    first, _, third = (put(store, name) for name in "abc")
    store.remember("quick", "a", first)
    record(runs, "slow", third)
    (only,) = find_garbage(store, runs, Rules(unreferenced=True))
    assert only.stage == "b"
    assert only.why == "no recorded run has it, and no pipeline used it last"
    users = {i.stage: i.pipelines for i in find_garbage(store, runs, Rules(keep_bytes=0))}
    assert users == {"a": ["quick"], "b": [], "c": ["slow"]}


def test_a_result_whose_manifest_is_harmed_goes_in_any_case(store, runs):
    key = put(store, "a")
    (store.folder(key) / "manifest.json").write_text("{}")
    (only,) = find_garbage(store, runs, Rules())
    assert only.what == "damaged result"
    assert "manifest" in only.why


def test_leftovers_go_when_they_are_old_and_half_made_results_at_once(store, runs):
    for room, name in (("logs", "x.log"), ("plans", "y.json"), ("locks", "z.lock")):
        (store.root / room / name).write_text("old")
        age(store.root / room / name, 31)
    (store.unfinished(key_of("a")) / "step").write_text("checkpoint")
    (store.root / "tmp" / "b-left").mkdir()
    found = find_garbage(store, runs, Rules())
    assert [i.what for i in found] == ["log", "plan", "lock", "half-made result"]
    age(store.unfinished(key_of("a")), 31)
    assert "interrupted work" in [i.what for i in find_garbage(store, runs, Rules())]
    assert len(find_garbage(store, runs, Rules(older_than_s=60 * DAY))) == 1
    assert len(remove(store, find_garbage(store, runs, Rules()))) == 5
    assert not find_garbage(store, runs, Rules())


def test_what_is_removed_is_gone_whole_with_its_lock_and_the_notes_of_it(store, runs):
    key = put(store, "a", pipeline="quick")
    kept = put(store, "b", pipeline="quick")
    items = [i for i in find_garbage(store, runs, Rules(keep_bytes=0)) if i.stage == "a"]
    assert remove(store, items) == items
    assert store.look(key).manifest is None
    assert store.look(kept).manifest is not None
    assert store.latest("quick", "a") is None
    assert not list((store.root / "tmp").iterdir())
    assert not list((store.root / "locks").glob("a*"))
    assert not (store.root / "latest" / "quick" / "a").exists()
    assert (store.root / "latest" / "quick" / "b").exists()


def test_what_another_process_works_on_stays(store, runs, held):
    put(store, "a", days=40)
    (store.unfinished(key_of("b")) / "step").write_text("checkpoint")
    age(store.unfinished(key_of("b")), 40)
    found = find_garbage(store, runs, Rules(older_than_s=30 * DAY))
    assert len(found) == 2
    for name in "ab":
        held(key_of(name))
    assert remove(store, found) == []
    assert stages(find_garbage(store, runs, Rules(older_than_s=30 * DAY))) == ["a"]
    assert store.look(key_of("a")).manifest is not None


def test_what_a_run_may_rest_on_stays_while_one_is_at_work(store, runs, held):
    put(store, "a", days=40, pipeline="quick")
    put(store, "b", days=40)
    assert stages(find_garbage(store, runs, Rules(older_than_s=30 * DAY))) == ["a", "b"]
    held(key_of("c"))
    assert stages(find_garbage(store, runs, Rules(older_than_s=30 * DAY))) == ["b"]


def test_what_a_run_began_to_rest_on_since_it_was_found_stays(store, runs, held):
    put(store, "a", days=40, pipeline="quick")
    found = find_garbage(store, runs, Rules(older_than_s=30 * DAY))
    held(key_of("c"))
    assert stages(found) == ["a"]
    assert remove(store, found) == []


def test_what_a_run_took_since_it_was_found_stays_while_it_is_at_work(store, runs, held):
    key = put(store, "a", days=40)
    found = find_garbage(store, runs, Rules(older_than_s=30 * DAY))
    held(key_of("c"))
    store.remember("quick", "a", key)
    assert remove(store, found) == []
    assert store.look(key).manifest is not None


def test_a_folder_that_vanishes_while_it_is_sized_is_passed_over(store, runs, monkeypatch):
    left = store.root / "tmp" / "b-left"
    for name in ("one", "two"):
        (left / name).mkdir(parents=True)
        (left / name / "file").write_text("x")
    real = garbage._age

    def vanish(path):
        if path.name == "file":
            for other in left.iterdir():
                if other != path.parent:
                    shutil.rmtree(other)
        return real(path)

    monkeypatch.setattr(garbage, "_age", vanish)
    (item,) = find_garbage(store, runs, Rules())
    assert item.path == left
    assert len(list(left.iterdir())) == 1


def test_what_a_process_fills_is_not_looked_into(store, runs, held, monkeypatch):
    (store.unfinished(key_of("b")) / "step").write_text("checkpoint")
    held(key_of("b"))
    monkeypatch.setattr(garbage, "_newest", lambda path: pytest.fail(f"{path} was looked into"))
    assert not find_garbage(store, runs, Rules())


def test_a_run_after_cleaning_makes_the_same_again(tiny, tmp_path):
    before = tiny(until="teacher")
    store, runs = Store(tmp_path / ".edgekd"), RunFolders(tmp_path / "runs")
    (weights,) = (store.root / "results").glob("*/model.safetensors")
    content = weights.read_bytes()
    assert not find_garbage(store, runs, Rules(unreferenced=True))
    remove(store, find_garbage(store, runs, Rules(keep_bytes=0)))
    assert not weights.exists()
    after = tiny(until="teacher")
    assert before.ran == after.ran == ["teacher"]
    assert weights.read_bytes() == content


def test_looking_writes_nothing(store, runs):
    put(store, "a", days=40)
    before = sorted(store.root.rglob("*"))
    find_garbage(store, runs, Rules(older_than_s=0, keep_bytes=0, unreferenced=True))
    assert sorted(store.root.rglob("*")) == before


def test_a_process_that_waited_for_a_lock_that_was_swept_still_locks_out_others(store):
    with store.unused("a") as free:
        assert free
        (store.root / "locks" / "a.lock").unlink()
        with store.unused("a") as again:
            assert again  # a new file, a new lock
    with store.locked("a", lambda: None):
        assert store.held("a")
    assert not store.held("a")
