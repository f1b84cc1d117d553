"""What machine this is: a latency belongs to it and to no other."""

import hashlib
import os
import platform
from functools import cache
from pathlib import Path


@cache
def this_machine() -> dict[str, str]:
    """Return what shapes a measurement here: CPU, its features, cores, memory and system."""
    info = _cpu_info()
    return {
        "cpu": info.get("model name") or info.get("Hardware") or platform.processor() or "unknown",
        "arch": platform.machine(),
        "features": hashlib.sha256(features().encode()).hexdigest()[:12],
        "cores": str(os.cpu_count()),
        "memory_gib": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f}",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def features() -> str:
    """Return the names of everything that the CPU can do, sorted."""
    info = _cpu_info()
    return " ".join(sorted((info.get("flags") or info.get("Features") or "").split()))


@cache
def _cpu_info() -> dict[str, str]:
    """Return the first processor's lines of /proc/cpuinfo; empty where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}
