"""What the process on a device does that a whole transport shows only by chance."""

import json
import os
from pathlib import Path

import pytest

from edgekd.devices.attendant import LOCK, QUEUE, Attendant, locked, opened


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


def test_a_request_that_is_a_mistake_is_answered_too(
    attendant: Attendant, capfd: pytest.CaptureFixture[str]
) -> None:
    attendant.answer({"do": "run", "command": ["echo", "\0"], "timeout_s": 9})
    assert json.loads(capfd.readouterr().out)["refused"].startswith("ValueError: ")
    attendant.answer({"do": "part", "path": f"{attendant.folder}/{'x' * 999}"})
    assert json.loads(capfd.readouterr().out)["refused"] == "File name too long"
