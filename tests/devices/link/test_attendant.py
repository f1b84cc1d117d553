"""What the process on a device does that a whole transport shows only by chance."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekd.devices.link.attendant import LOCK, QUEUE, Attendant, locked, opened
from edgekd.devices.link.bare_link import ATTENDANT

NOBODY = 65534


@pytest.fixture
def attendant(tmp_path: Path) -> Attendant:
    (tmp_path / "work").mkdir()
    return Attendant(tmp_path / "work")


def test_a_command_that_begins_as_the_link_is_cut_is_ended(attendant: Attendant) -> None:
    attendant.end(0)
    attendant.folder.mkdir()
    done = attendant.run(["sleep", "60"], timeout_s=30)
    assert (done["status"], done["late"]) == (-9, False)


def test_the_device_is_not_had_once_the_link_is_cut(attendant: Attendant) -> None:
    attendant.end(0)
    attendant.take(wait_s=0, who="ada")
    assert attendant.lock is None


def test_a_free_device_is_not_taken_before_the_one_that_is_next(attendant: Attendant) -> None:
    beside = attendant.folder.parent
    (beside / LOCK).write_text("ada")
    queue = opened(beside / QUEUE)
    assert locked(queue)
    assert attendant.take(wait_s=0, who="grace") == {"held_by": "ada"}
    os.close(queue)
    assert attendant.take(wait_s=0, who="grace") == {}
    assert (beside / LOCK).read_text() == "grace"


def test_a_lock_can_be_locked_by_others_whatever_the_umask_is(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        os.close(opened(tmp_path / LOCK))
    finally:
        os.umask(before)
    assert (tmp_path / LOCK).stat().st_mode & 0o777 == 0o644


@pytest.fixture
def open_place() -> Iterator[Path]:
    """Return a folder that any user can reach and write to."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def test_a_lock_that_cannot_be_read_is_told_by_the_shell_that_lives_on(open_place: Path) -> None:
    (open_place / "work").mkdir(mode=0o777)
    (open_place / "work").chmod(0o777)
    script = Path(shutil.copy(ATTENDANT, open_place))
    (open_place / LOCK).touch(0o000)
    said = subprocess.run(
        ["sh", str(script), f"{open_place}/work", "60", "0"],
        input=b"take ada\nstill\n",
        capture_output=True,
        check=False,
        cwd="/",
        user=NOBODY if os.geteuid() == 0 else None,
    )
    answers = [json.loads(line) for line in said.stdout.splitlines()]
    refused = {"refused": "Permission denied", "path": f"{open_place}/{LOCK}"}
    assert answers[:3] == [{"missing": ""}, refused, {}], said.stderr


def test_a_request_that_is_a_mistake_is_answered_too(
    attendant: Attendant, capfd: pytest.CaptureFixture[str]
) -> None:
    attendant.answer({"do": "run", "command": ["echo", "\0"], "timeout_s": 9})
    assert json.loads(capfd.readouterr().out)["refused"].startswith("ValueError: ")
    attendant.answer({"do": "part", "path": f"{attendant.folder}/{'x' * 999}"})
    assert json.loads(capfd.readouterr().out)["refused"] == "File name too long"
