"""Turns on this machine: one run at a time measures here, and who waits is told for whom."""

import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from edgekd.core.errors import Problem, UnreachableError
from edgekd.devices.link.attendant import LOCK, POLL_S, QUEUE, locked, opened
from edgekd.devices.link.refusals import to_have_lock

WAITING = "waiting"
PATIENT_S = 1.0
"""Waiting that is not worth a word."""
Told = Callable[[str], None]


def unheard(_message: str) -> None:
    """Tell nobody."""


def who() -> str:
    """Return who we are, for others that wait for us."""
    return f"{os.environ.get('USER', 'someone')} on {socket.gethostname()}, process {os.getpid()}"


def tell_of(holder: str, busy_s: float, told: Told) -> None:
    """Say that another run has the device; that targets of this run take turns is no news."""
    if holder != who():
        told(f"{WAITING}, at most {busy_s:g} s, for {holder or 'another run'}")


def too_busy(holder: str, where: str, busy_s: float) -> tuple[str, str]:
    """Return what to say of others that measure for longer than we wait, and what to do."""
    message = f"another run measures {where}: {holder or 'unknown'}."
    if holder == who():
        message = f"another target of this run measures {where}."
    return message, f"It was waited for {busy_s:g} s: wait longer with busy_s of the transport."


@contextmanager
def turn(busy_s: float, told: Told) -> Iterator[None]:
    """Have this machine alone; UnreachableError where others do not leave it within `busy_s`.

    The system frees the locks of whoever ends, in whichever way, so that none stays behind.
    """
    folder, deadline = Path(tempfile.gettempdir()), time.monotonic() + busy_s
    with ExitStack() as ours:
        with _holding(folder / QUEUE) as queue:
            _await(queue, folder, busy_s, deadline, told)
            lock = ours.enter_context(_holding(folder / LOCK))
            _await(lock, folder, busy_s, deadline, told)
        with suppress(OSError):  # another user's file can be locked, not written
            os.ftruncate(lock, os.pwrite(lock, who().encode(), 0))  # never empty for readers
        yield


@contextmanager
def _holding(path: Path) -> Iterator[int]:
    """Give a lock file that is let go in the end; UnreachableError where it cannot be opened."""
    try:
        file = opened(path)
    except OSError as error:
        message = f"the lock {path} cannot be opened: {error.strerror}."
        problem = Problem("transport", message, to_have_lock(str(path)))
        raise UnreachableError(str(problem)) from error
    try:
        yield file
    finally:
        os.close(file)


def _await(file: int, folder: Path, busy_s: float, deadline: float, told: Told) -> None:
    """Lock a file once nobody else has it; say after a while who has the machine."""
    began, silent = time.monotonic(), True
    while not locked(file):
        now = time.monotonic()
        if now > deadline:
            message, step = too_busy(_holder(folder), "on this machine", busy_s)
            raise UnreachableError(str(Problem("transport", message, step)))
        if silent and now - began > PATIENT_S:
            silent = False
            tell_of(_holder(folder), busy_s, told)
        time.sleep(POLL_S)


def _holder(folder: Path) -> str:
    """Return who wrote that they have the machine."""
    try:
        return (folder / LOCK).read_text("utf-8", "replace")
    except OSError:
        return ""
