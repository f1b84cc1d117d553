"""The command gc."""

import json

import pytest
from typer.testing import CliRunner

from edgekd.cli.app import app
from edgekd.cli.garbage import seconds, size
from edgekd.core.artifact import Manifest
from edgekd.core.errors import RequestError, UnreachableError
from edgekd.pipeline.store import Store, list_files


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Make a store with one result that nothing names."""
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / ".edgekd")
    store.prepare()
    with store.filling("a" * 64) as out:
        (out / "weights").write_bytes(bytes(5000))
        store.commit(
            Manifest("a" * 64, "teacher", "teacher", "model", {}, {}, {}, list_files(out), "", 1,
                     1, {}), out)  # fmt: skip
    return store


def gc(*words):
    return CliRunner().invoke(app, ["gc", *words], catch_exceptions=False).stdout


@pytest.mark.parametrize(
    ("text", "value"), [("30d", 2592000), ("12h", 43200), ("2w", 1209600), ("1.5m", 90)]
)
def test_ages_are_read(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("5GiB", 5 * 2**30), ("500MB", 5 * 10**8), ("0", 0), ("1.5 KiB", 1536), ("7B", 7)],
)
def test_sizes_are_read(text, value):
    assert size(text) == value


@pytest.mark.parametrize(
    ("read", "text"),
    [(seconds, "30"), (seconds, "d"), (seconds, "-1d"), (size, "5GB/s"), (size, "big"), (size, "")],
)
def test_what_is_neither_is_refused_with_an_example(read, text):
    with pytest.raises(RequestError, match=r"is not an? (age|size)\.\n  Write "):
        read(text)


def test_it_lists_first_and_removes_on_request(here):
    assert gc() == "Nothing to remove.\n"
    listed = gc("--unreferenced")
    assert "There is no folder runs" in listed
    assert "teacher" in listed
    assert "1 thing, 6 KiB, may go. Nothing was removed: add --yes." in listed
    assert here.look("a" * 64).manifest is not None
    assert "Removed 1 thing, 6 KiB." in gc("--unreferenced", "--yes")
    assert here.look("a" * 64).manifest is None


def test_what_is_at_work_stays_and_is_counted(here):
    with here.locked("a" * 64, lambda: None):
        said = gc("--keep-size", "0", "--yes")
    assert "Removed 0 things, 0 KiB. 1 stayed: a run is at work on them." in said


def test_leftovers_are_one_line_for_each_sort(here):
    for name in "xy":
        (here.root / "tmp" / f"{name}-left").mkdir()
    assert "  2 x half-made result, 0 KiB: nobody is filling it" in gc()


def test_json_is_one_document(here):
    found = json.loads(gc("--keep-size", "0", "--json"))
    assert found["removed"] == []
    assert found["items"][0]["stage"] == "teacher"
    removed = json.loads(gc("--keep-size", "0", "--json", "--yes"))["removed"]
    assert removed == [str(here.folder("a" * 64))]


def test_a_folder_that_is_no_store_is_said(here):
    with pytest.raises(RequestError, match="there is no store in elsewhere"):
        gc("--store", "elsewhere")


def test_a_store_that_cannot_be_changed_is_said(here, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", "x")

    monkeypatch.setattr(Store, "remove", refuse)
    with pytest.raises(UnreachableError, match="Permission denied"):
        gc("--keep-size", "0", "--yes")
