"""A process that works for another one: it ends with it, and tells what it has used."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PEER = (sys.executable, "-P", "-m", "edgekd.pipeline.peer")
"""Starts a process that works for the first one of a run."""


def end_with_parent(how: signal.Signals) -> None:
    """Have the system end this process with the one that started it, however that one ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, how)


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of those it started and saw end."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
