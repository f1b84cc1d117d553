"""What a process does that a launcher has started beside the first one."""

import os

from edgekd.core.launcher import PEER, rank


def work_for_the_first() -> None:
    """Become a process that works for the first one, where this is not the first: no return."""
    if rank():
        os.execv(PEER[0], PEER)  # noqa: S606
