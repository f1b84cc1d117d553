"""Bundles on the command line: what is printed, and how it ends."""

import json
import sys

import pytest

from edgekd.cli.bundles import bundle_asked
from edgekd.cli.printable import printable
from edgekd.core.errors import RequestError, StageError

from ..bundle.zips import PIPELINE, pack
from .test_commands import edgekd

UNTIL = ("--until", "teacher")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with the tiny pipeline and a bundle of its first stage."""
    from ..pipeline.conftest import TINY

    here = tmp_path_factory.mktemp("my bündle")
    (here / "tiny.yaml").write_text(TINY)
    done = edgekd("run", "tiny.yaml", *UNTIL, "--bundle", "out.zip", cwd=here)
    assert done.returncode == 0, done.stderr
    assert f"bundle     {here / 'out.zip'}" in done.stdout
    return here


def test_a_run_says_as_json_where_its_bundle_is(folder):
    done = edgekd("run", "tiny.yaml", *UNTIL, "--bundle", "b.zip", "--json", cwd=folder)
    last = json.loads(done.stdout.splitlines()[-1])
    size = (folder / "b.zip").stat().st_size
    assert last == {"event": "bundle_written", "file": str(folder / "b.zip"), "size": size,
                    "members": last["members"]}  # fmt: skip
    assert (folder / "b.zip").read_bytes() == (folder / "out.zip").read_bytes()


def test_a_replay_as_json_is_one_object_per_line_and_can_keep_its_results(folder):
    places = ("--store", "other store", "--runs", "other runs")
    done = edgekd("replay", "out.zip", "--json", *places, cwd=folder)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[0]["event"] == "replay_environment"
    assert events[0]["differences"] == []
    assert events[-1]["event"] == "replay_done"
    assert events[-1]["exit_code"] == 0
    assert [row["status"] for row in events[-1]["rows"]] == ["equal"]
    assert {"run_started", "stage_done", "run_done"} <= {one["event"] for one in events}
    assert (folder / "other runs").is_dir()


def test_a_replay_prints_what_differs_then_a_table_then_a_sentence(folder):
    done = edgekd("replay", "out.zip", "--store", "other store", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("bundle of tiny, 2")
    assert lines[1] == "Nothing that shapes a result is other here."
    (row,) = [line.split() for line in lines if line.split()[:1] == ["stage"] and "model" in line]
    assert row[:8] == ["stage", "teacher", "model", "3", "files", "3", "files", "equal"]
    assert lines[-1] == (
        "All as promised: 1 of 1 artifacts are promised byte for byte, and are equal."
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("replay", "absent.zip"), "cannot be read: No such file"),
        (("replay", "tiny.yaml"), "not a zip"),
        (("replay", "out.zip", "--data", "nonsense"), "is not OLD=NEW"),
        (("replay", "out.zip", "--data", "/x=/y"), "reads nothing at /x"),
        (("run", "tiny.yaml", "--bundle", "none/out.zip"), "there is no folder none"),
        (("run", "tiny.yaml", "--bundle", "."), "is a folder"),
    ],
)
def test_a_wrong_request_ends_with_2_and_a_message(arguments, words, folder):
    done = edgekd(*arguments, cwd=folder)
    assert done.returncode == 2, done.stdout + done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_hostile_bundle_ends_with_2_and_steers_no_terminal(tmp_path):
    pack(tmp_path / "b.zip", {"pipeline.yaml": PIPELINE, "../\x1b[2Jx": b"harm"})
    done = edgekd("replay", "b.zip", cwd=tmp_path)
    assert done.returncode == 2
    assert "this bundle is refused" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.zip"]


def test_a_run_that_fails_says_that_no_bundle_was_written(tmp_path, capsys):
    with pytest.raises(StageError), bundle_asked(tmp_path / "b.zip"):
        raise StageError("diverged")
    assert "No bundle was written" in capsys.readouterr().err
    with pytest.raises(RequestError), bundle_asked(tmp_path / "none" / "b.zip"):
        sys.exit("this does not run")


def test_text_of_others_is_printed_without_what_steers_a_terminal():
    assert printable("a\x1b]0;title\x07b\r\nc\u202e") == "a\ufffd]0;title\ufffdb\ufffd\nc\ufffd"
    assert printable("é 漢 ✓") == "é 漢 ✓"
    assert len(printable("x" * 1_000_000)) < 21_000
