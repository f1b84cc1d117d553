"""Whether a stage fits: what it is estimated to need beside what can be had."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from edgekd.core.errors import Problem, UnreachableError
from edgekd.core.limits import memory_limit
from edgekd.core.needs import Needs

NEARLY, BEYOND = 0.8, 1.5
"""Shares of what can be had from which an estimate is worth a notice, and from which it is refused:
estimates err, and a stage that runs out of memory or disk says so and can be gone on with."""
MORE_MEMORY = "end other programs, or use a machine with more"
MORE_DISK = "free some space, or give --store on another disk"


@dataclass(frozen=True)
class Room:
    """What can be had now."""

    memory_bytes: int
    """What is free, with what this process has already and will use again."""
    swap_bytes: int
    memory_source: str
    """Who sets the limit, for people: `here`, or `within the container's limit of 4.0 GiB`."""
    disk_bytes: int
    device_bytes: int | None
    """Free memory of the GPU that computes; None where the processor does."""


def room_here(folder: Path, device_bytes: int | None) -> Room:
    """Return what can be had on this machine, and on the disk of a folder."""
    own = psutil.Process().memory_info().rss
    available, source = psutil.virtual_memory().available, "here"
    limit = memory_limit()
    if limit is not None and limit.limit - limit.used < available:
        available = max(0, limit.limit - limit.used)
        source = f"within the container's limit of {readable(limit.limit)}"
    swap = psutil.swap_memory().free if limit is None else 0
    return Room(available + own, swap, source, shutil.disk_usage(folder).free, device_bytes)


def check_room(needs: Mapping[str, Any] | None, folder: Path, device_bytes: int | None) -> str:
    """Return a notice where a stage will nearly fill what there is, else nothing.

    UnreachableError where its estimate is far beyond all that can be had.
    """
    return judge(Needs(**needs), room_here(folder, device_bytes), folder) if needs else ""


def judge(needs: Needs, room: Room, folder: Path) -> str:
    """Return a notice, or nothing; UnreachableError where an estimate is far beyond it."""
    rows = [
        (needs.disk_bytes, room.disk_bytes, 0, "disk", f"free for {folder}", [MORE_DISK]),
    ]
    lower = [f"Lower {' or '.join(needs.lower)}"] if needs.lower else []
    host = needs.memory_bytes
    if room.device_bytes is not None and needs.device_bytes:
        host -= needs.device_bytes * needs.processes
        there = room.device_bytes
        rows.append((needs.device_bytes, there, 0, "GPU memory", "free", [*lower, MORE_MEMORY]))
    about = (room.memory_bytes, room.swap_bytes, "memory", room.memory_source)
    rows.append((host, *about, [*lower, MORE_MEMORY]))
    problems, notices = [], []
    for needed, there, more, what, where, steps in rows:
        text = f"about {readable(needed)} of {what}; {readable(there)} can be had {where}"
        if needed > BEYOND * (there + more):
            cure = ", ".join(steps)
            step = f"{cure[0].upper()}{cure[1:]}."
            problems.append(str(Problem("", f"it is estimated to need {text}.", step)).strip())
        elif needed > NEARLY * there:
            notices.append(f"{text}, {'less' if needed > there else 'hardly more'}")
    if problems:
        raise UnreachableError("\n".join(problems))
    return f"it is estimated to need {' and '.join(notices)}." if notices else ""


def readable(size: int) -> str:
    """Return a number of bytes as people read it."""
    for unit, power in (("GiB", 30), ("MiB", 20)):
        if size >= 0.95 * 2**power:
            return f"{size / 2**power:.1f} {unit}"
    return f"{-(-size // 2**10)} KiB"
