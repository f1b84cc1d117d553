"""What the system lets this process have: a container's limits are not in /proc/meminfo."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

UNLIMITED = 1 << 60
"""The first version of control groups writes about this number where there is no limit."""


@dataclass(frozen=True)
class MemoryLimit:
    """The tightest limit on memory that holds for this process."""

    limit: int
    used: int
    """Bytes that cannot be had back: file pages that the system may drop are not among them."""


def memory_limit(root: Path = Path("/")) -> MemoryLimit | None:
    """Return the limit of the control group that leaves the least; None where none is set."""
    found = [
        limit
        for folder in _groups(root, "memory")
        for names in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        )
        if (limit := _memory(folder, *names)) is not None
    ]
    return min(found, key=lambda limit: limit.limit - limit.used, default=None)


def allowed_processors() -> int:
    """Return how many processors this process may run on: a cpuset can leave it fewer."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_limit(root: Path = Path("/")) -> float | None:
    """Return how many processors' time the control group grants; None where it sets no quota."""
    shares = [
        share
        for folder in (*_groups(root, "cpu"), *_groups(root, "cpu,cpuacct"))
        for share in (_share(folder),)
        if share is not None
    ]
    return min(shares, default=None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of this process's group and of those above it, where they are mounted.

    Inside a container the group's own path often does not exist: what is mounted is the group.
    """
    base = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(",") and controllers != controller:
            continue
        top = base / controller if controllers else base
        own = top / path.strip("/")
        yield from (p for p in (own, *own.parents) if p.is_dir() and p.is_relative_to(top))


def _memory(folder: Path, limit: str, used: str, cache: str) -> MemoryLimit | None:
    most, now = _number(_read(folder / limit)), _number(_read(folder / used))
    if most is None or most >= UNLIMITED:
        return None
    stat = dict(line.split() for line in _read(folder / "memory.stat").splitlines() if line)
    return MemoryLimit(most, max(0, (now or 0) - int(stat.get(cache, 0))))


def _share(folder: Path) -> float | None:
    quota, _, period = _read(folder / "cpu.max").strip().partition(" ")
    if not quota:
        quota = _read(folder / "cpu.cfs_quota_us").strip()
        period = _read(folder / "cpu.cfs_period_us").strip()
    most, each = _number(quota), _number(period)
    return most / each if most and each and most > 0 else None


def _number(text: str) -> int | None:
    """Return the number of a file; None for `max` and for nothing."""
    try:
        return int(text)
    except ValueError:
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError):
        return ""
