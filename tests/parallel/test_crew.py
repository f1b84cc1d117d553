"""The others of a run: started, set to work, and what is said where some of them fail."""

import subprocess
import sys
import time
from datetime import timedelta

import psutil
import pytest
import torch
from torch import nn
from torch.distributed import TCPStore

from edgekd.core.errors import RunInterruptedError, StageError
from edgekd.parallel import crew as crews
from edgekd.parallel.crew import Crew
from edgekd.parallel.group import group
from edgekd.parallel.norms import norms_of_all

PEER = """
import os
import signal
from datetime import timedelta
import torch
from edgekd.core.lifetime import end_with_parent
from edgekd.parallel import crew
from edgekd.parallel.group import group

end_with_parent(signal.SIGKILL)
crew.ENOUGH = timedelta(seconds=1)
peer = crew.Peer()
while (request := peer.next()) is not None:
    error = ""
    try:
        before, _, rest = request["do"].partition(": ")
        if before == "before" and peer.rank == int(rest[0]):
            raise eval(rest[3:])
        with peer.at_work(request):
            exec(request["do"] if before != "before" else "pass")
            group().total(torch.ones(1))
    except Exception as failure:
        error = f"{type(failure).__name__}: {failure}"
    peer.end(crew.Word(0.5, error, "Mend it."))
"""
SIZE = 3


@pytest.fixture
def crew(monkeypatch):
    monkeypatch.setattr(crews, "ENOUGH", timedelta(seconds=3))
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", crews.LOOPBACK)
    own = Crew([sys.executable, "-c", PEER])
    yield own
    own.close()


def work(crew, do="pass", own=lambda: None):
    """Have three processes work; return what they count together."""
    with crew.at_work({"do": do, "device": "cpu"}, SIZE):
        own()
        return group().total(torch.ones(1)).item()


def others():
    return [p for p in psutil.Process().children() if "-c" in p.cmdline()]


def test_they_work_on_one_stage_after_the_other_and_end(crew):
    assert work(crew) == SIZE
    assert crew.cpu_seconds == 2 * 0.5
    first = others()
    assert len(first) == SIZE - 1
    assert work(crew) == SIZE
    assert others() == first
    assert group().alone
    crew.close()
    assert not others()


class BNAct(nn.BatchNorm2d):
    """Does more than a norm."""

    def forward(self, x):
        return super().forward(x).relu()


def test_a_norm_that_does_more_is_refused_by_name(crew):
    said = []

    def own():
        try:
            with norms_of_all(nn.Sequential(nn.BatchNorm2d(2), BNAct(2))):
                pass
        except StageError as error:
            said.append(error)

    work(crew, own=own)
    assert "BNAct is a batch norm with a forward of its own" in said[0].message
    assert "plain batch norm" in said[0].next_step
    with norms_of_all(BNAct(2)):
        pass  # alone it is as it is


def fail():
    raise ValueError("for all")


def test_where_all_fail_alike_it_is_one_failure_and_they_go_on(crew):
    with pytest.raises(ValueError, match="for all"):
        work(crew, "raise ValueError('for all')", fail)
    first = others()
    assert work(crew) == SIZE
    assert others() == first


@pytest.mark.parametrize(
    ("do", "message", "step"),
    [
        (
            "if group().rank == 2: raise ValueError('own')",
            "process 3 of 3: ValueError: own",
            "Mend",
        ),
        ("if group().rank == 1: os._exit(7)", "process 2 of 3 ended with status 7.", "memory"),
    ],
)
def test_one_that_fails_alone_is_named_and_all_are_started_anew(crew, do, message, step):
    with pytest.raises(StageError) as caught:
        work(crew, do)
    assert caught.value.message == message
    assert step in caught.value.next_step
    assert not others()
    assert work(crew) == SIZE


def test_where_the_first_fails_alone_it_says_why(crew):
    with pytest.raises(ValueError, match="for all"):
        work(crew, own=fail)
    assert work(crew) == SIZE


def interrupted():
    raise RunInterruptedError("asked for")


def test_an_interruption_waits_for_nobody(crew):
    with pytest.raises(RunInterruptedError):
        work(crew, "import time; time.sleep(60)", interrupted)
    assert not others()


LEAVES = """
import sys
from edgekd.parallel.crew import Crew
from edgekd.parallel.group import group
import torch

crew = Crew([sys.executable, "-c", {peer!r}])
with crew.at_work({{"do": "import time; time.sleep(60)", "device": "cpu"}}, 2):
    waits = torch.distributed.all_reduce(torch.ones(1), async_op=True)  # for who sleeps
    raise SystemExit(0)
"""


def test_one_that_is_asked_to_leave_leaves_at_once_and_with_it_the_others():
    first = subprocess.Popen([sys.executable, "-c", LEAVES.format(peer=PEER)])
    try:
        end = time.monotonic() + 60
        while not (below := psutil.Process(first.pid).children()) and time.monotonic() < end:
            time.sleep(0.05)
        assert first.wait(60) == RunInterruptedError.exit_code
        assert not psutil.wait_procs(below, timeout=10)[1]
    finally:
        first.kill()
        first.wait()


def test_one_that_does_not_come_is_not_waited_for(monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", crews.LOOPBACK)
    with pytest.raises(StageError) as caught:
        work(Crew([sys.executable, "-c", "raise SystemExit(5)"]))
    assert caught.value.message == "process 2 of 3 ended with status 5 before it began."
    assert "Take fewer processes" in caught.value.next_step


def test_one_that_ends_between_two_stages_is_named_at_once(crew):
    assert work(crew) == SIZE
    others()[1].kill()
    with pytest.raises(StageError, match="process 3 of 3 ended with status -9 before it began"):
        work(crew)
    assert work(crew) == SIZE


def test_one_that_fails_before_it_begins_is_named_at_once(crew):
    with pytest.raises(StageError, match="process 2 of 3: OSError: no place"):
        work(crew, "before: 1: OSError('no place')")
    assert work(crew) == SIZE


def test_a_second_first_process_of_a_launcher_is_told_so(monkeypatch):
    """The others have gone on from where the one before it had brought them."""
    store = TCPStore("127.0.0.1", 0, None, True, wait_for_workers=False)
    monkeypatch.setattr(crews, "launched", lambda: True)
    monkeypatch.setattr(crews, "meet", lambda: (store, 0, 2))
    Crew([]).dismiss()
    with pytest.raises(StageError, match="the other processes of this run are gone"):
        Crew([]).dismiss()


def test_those_of_a_launcher_are_not_started_anew(crew, monkeypatch):
    assert work(crew) == SIZE
    monkeypatch.setattr(crews, "launched", lambda: True)
    with pytest.raises(StageError, match="process 2 of 3 ended"):
        work(crew, "if group().rank == 1: os._exit(7)")
    with pytest.raises(StageError, match="the other processes of this run are gone") as caught:
        work(crew)
    assert "Start it again" in caught.value.next_step
