"""A process that works for another one: how it is started, and what it has used."""

import os
import sys

PEER = (sys.executable, "-P", "-m", "edgekd.pipeline.peer")
"""Starts a process that works for the first one of a run."""


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of those it started and saw end."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
