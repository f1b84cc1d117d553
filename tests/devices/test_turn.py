"""Runs on one machine wait for each other, and are told for whom."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from edgekd.core.errors import UnreachableError
from edgekd.devices import turn as turns
from edgekd.devices.bench import Session
from edgekd.devices.kept import Journal
from edgekd.devices.link.attendant import LOCK, Attendant
from edgekd.devices.target import Target
from edgekd.devices.transports.local import Local, LocalTransport
from edgekd.devices.turn import turn, unheard, who

HOLDER = """
import sys
from edgekd.devices.turn import turn, unheard
with turn(60, unheard):
    print("mine", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def own_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the locks of these tests away from whoever measures meanwhile."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def holder() -> "subprocess.Popen[str]":
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", HOLDER], stdin=pipe, stdout=pipe, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "mine\n"
    return process


def test_who_waits_too_long_is_told_who_measures_and_what_to_do() -> None:
    with holder() as other:
        with pytest.raises(UnreachableError) as raised, turn(0.2, unheard):
            pass
        other.kill()
    assert f"another run measures on this machine: {who().rpartition(' ')[0]} {other.pid}." in str(
        raised.value
    )
    assert "waited for 0.2 s: wait longer with busy_s of the transport" in str(raised.value)


def test_who_waits_is_told_for_whom_and_how_long_it_waits_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "PATIENT_S", 0.1)
    told: list[str] = []
    with holder() as other:
        threading.Timer(0.5, other.kill).start()
        with turn(60, told.append):
            pass
    assert told == [f"waiting, at most 60 s, for {who().rpartition(' ')[0]} {other.pid}"]


def test_a_lock_that_cannot_be_opened_is_told(own_machine: Path) -> None:
    lock = own_machine / LOCK
    lock.symlink_to("elsewhere")
    with pytest.raises(UnreachableError, match=rf"(?s){lock} cannot be.*chmod a\+r {lock}"):
        LocalTransport(Local()).run(["true"])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_lock_stays_behind_where_its_holder_is_killed(number: int) -> None:
    with holder() as other:
        other.send_signal(number)
        began = time.monotonic()
        with turn(30, unheard):
            assert time.monotonic() - began < 20


def test_two_targets_of_one_run_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENT_S", 0.01)
    order: list[str] = []
    told: list[str] = []

    def measure(name: str) -> None:
        for _ in range(3):
            with turn(60, told.append):
                order.append(name)
                time.sleep(1)
                order.append(name)

    threads = [threading.Thread(target=measure, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order in (list("aabbaabbaabb"), list("bbaabbaabbaa"))
    assert not told  # that is no news


def test_commands_of_two_transports_never_run_at_once_but_for_those_that_time_nothing(
    own_machine: Path,
) -> None:
    with turn(60, unheard):
        with pytest.raises(UnreachableError, match="another target of this run measures on this"):
            LocalTransport(Local(busy_s=0.1)).run(["true"])
        assert LocalTransport(Local(alone=False)).run(["echo", "read"]) == "read\n"
    assert LocalTransport(Local(busy_s=0.1)).run(["echo", "mine"]) == "mine\n"


def test_a_run_that_comes_here_over_ssh_waits_too(own_machine: Path) -> None:
    (own_machine / "work").mkdir()
    attendant = Attendant(own_machine / "work")
    with turn(60, unheard):
        assert attendant.take(wait_s=0, who="ada") == {"held_by": who()}
    assert attendant.take(wait_s=0, who="ada") == {}
    with pytest.raises(UnreachableError, match=r"machine: ada\."), turn(0.1, unheard):
        pass
    attendant.leave()
    os.close(attendant.watched)


def test_of_another_run_a_session_says_once_that_it_is_waited_for(tmp_path: Path) -> None:
    here = {"description": "here", "transport": "local", "runtimes": ("onnxruntime",)}
    session = Session(Target.model_validate(here), [], Journal(tmp_path / "journal"))
    told: list[str] = []
    for _ in range(2):  # as at every restart
        session.tell(told.append)
        session._transport.told("waiting, at most 60 s, for ada")  # type: ignore[attr-defined]
    assert told == ["waiting, at most 60 s, for ada"]
