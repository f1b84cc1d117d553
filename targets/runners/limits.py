"""Limits on a process that opens a model file, so that a bad one ends it and nothing else.

Said once, before the file is opened: the kernel compares numbers where memory is asked for, and
a measured run that asks for none never meets them.
"""

import contextlib
import resource
from pathlib import Path

import machine

SHARE = 0.8
"""How much of the memory a program may take where nothing is said."""
NO_LIMIT = 2**60
CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def confine(*, memory_mib, seconds, written_mib):
    """Limit this process for good.

    `memory_mib` is what it may ask for, 0 for most of what there is; `seconds` is processor
    time; `written_mib` is the size of any file that it writes.
    """
    lower(resource.RLIMIT_CORE, 0)
    lower(resource.RLIMIT_CPU, max(1, int(seconds)))
    lower(resource.RLIMIT_FSIZE, written_mib * 2**20)
    # private memory that can be written: neither the mapped file nor reserved addresses count
    lower(resource.RLIMIT_DATA, memory_mib * 2**20 or int(SHARE * memory_bytes()))
    with contextlib.suppress(OSError):  # where memory runs out all the same, nobody else dies
        Path("/proc/self/oom_score_adj").write_text("1000")


def lower(kind, most):
    """Lower a limit of this process, as far as the system knows it.

    The hard limit is a little higher: what passes the soft one says so by a signal of its own.
    """
    with contextlib.suppress(ValueError, OSError):
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most + 1 if hard == resource.RLIM_INFINITY else hard))


def memory_bytes(of=machine.HERE):
    """Return the memory that a process can have: the machine's, or its container's."""
    known = [int(text) for text in map(of.read, CGROUPS) if text.isdigit()]
    if total := machine.memory_mib(of):
        known.append(int(total) * 2**20)
    return min(known, default=NO_LIMIT)
