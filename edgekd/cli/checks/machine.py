"""What the machine and the system allow."""

import locale
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil

import edgekd
from edgekd.cli.checks.finding import Finding, fine, hint, wrong
from edgekd.core.limits import allowed_processors, cpu_limit, memory_limit
from edgekd.pipeline.room import readable

GIB = 2**30
MIN_MEMORY = GIB
"""Below this the exporters alone fill half of it."""
MIN_TEMPORARY = GIB
OWN_RULE = ("intel_pstate", "amd-pstate", "amd_pstate")
"""Drivers whose `powersave` goes to full speed under load by itself."""


def memory(root: Path = Path("/"), total: int | None = None) -> Iterator[Finding]:
    """Yield the memory that can be had, and a container's limit where it is far below."""
    machine = psutil.virtual_memory().total if total is None else total
    limit = memory_limit(root)
    allowed = machine if limit is None else min(limit.limit, machine)
    text = readable(allowed)
    if limit is not None and limit.limit < machine:
        text = f"{text} by a container's limit; the machine has {readable(machine)}"
    if allowed < MIN_MEMORY:
        yield wrong("memory", text, "Give it at least 1 GiB (docker run --memory).")
    elif allowed < machine / 2:
        yield hint("memory", text, "Raise the limit (docker run --memory) for larger models.")
    else:
        yield fine("memory", text)


def processors(
    root: Path = Path("/"), allowed: int | None = None, seen: int | None = None
) -> Iterator[Finding]:
    """Yield the processors that can be had, where they are fewer than programs see."""
    count = (os.cpu_count() or 1) if seen is None else seen
    mine = allowed_processors() if allowed is None else allowed
    quota = cpu_limit(root)
    if quota is not None and quota < mine:
        yield hint(
            "processors",
            f"{count} are seen, but a quota grants {quota:g}",
            f"Set threads: {max(1, int(quota))} in the pipeline file. A latency taken under a "
            "quota is not the device's: measure without one (docker run --cpuset-cpus).",
        )
    elif mine < count:
        step = f"Set threads: {mine} in the pipeline file: more would take turns on them."
        yield hint("processors", f"{count} are seen, but {mine} may be used", step)
    else:
        yield fine("processors", str(count))


def governor(root: Path = Path("/")) -> Iterator[Finding]:
    """Yield that the processor is told to run slowly, which shows in every latency."""
    folder = root / "sys/devices/system/cpu/cpu0/cpufreq"
    try:
        rule = (folder / "scaling_governor").read_text("utf-8").strip()
        driver = (folder / "scaling_driver").read_text("utf-8").strip()
    except OSError:  # a virtual machine, or another system
        return
    if rule == "powersave" and not driver.startswith(OWN_RULE):
        yield hint(
            "CPU governor",
            f"{rule} ({driver}): latencies are those of the lowest clock",
            "For measurements: sudo cpupower frequency-set -g performance",
        )
    else:
        yield fine("CPU governor", f"{rule} ({driver})")


def swap(used: int | None = None) -> Iterator[Finding]:
    """Yield that memory is swapped out, which makes latencies jump."""
    size = psutil.swap_memory().used if used is None else used
    if size > GIB // 4:
        yield hint(
            "swap",
            f"{readable(size)} are in use",
            "End other programs before measuring: what is swapped out comes back slowly.",
        )


def clock(now: float | None = None) -> Iterator[Finding]:
    """Yield that the clock stands before this very installation."""
    own = Path(edgekd.__file__).parent
    newest = max(path.stat().st_mtime for path in own.glob("*.py"))
    current = time.time() if now is None else now
    if current < newest - 86400:
        said, made = (datetime.fromtimestamp(t, UTC).date() for t in (current, newest))
        yield wrong(
            "clock",
            f"it says {said}, but edgekd was installed here on {made}",
            "Set the clock: what is newest and how old a result is would be told wrongly.",
        )


def encoding(name: str | None = None) -> Iterator[Finding]:
    """Yield that text is not UTF-8, in which what edgekd prints cannot be written."""
    found = (sys.stdout.encoding or locale.getencoding()) if name is None else name
    if found.lower().replace("-", "") not in ("utf8", "utf8sig"):
        yield wrong(
            "locale",
            f"text is written as {found}",
            "export LC_ALL=C.UTF-8 (or PYTHONUTF8=1)",
        )


def temporary(free: int | None = None) -> Iterator[Finding]:
    """Yield what is wrong with the folder for temporary files."""
    folder = Path(tempfile.gettempdir())
    size = psutil.disk_usage(str(folder)).free if free is None else free
    if size < MIN_TEMPORARY:
        yield hint(
            "temporary files",
            f"{readable(size)} are free in {folder}",
            "Name a larger folder with the variable TMPDIR: exporters write models there.",
        )
    elif not _starts_programs(folder):
        yield hint(
            "temporary files",
            f"no program can be started from {folder} (mounted noexec)",
            "Name another folder with the variable TMPDIR: some libraries build code there.",
        )
    else:
        yield fine("temporary files", f"{folder}, {readable(size)} free")


def _starts_programs(folder: Path) -> bool:
    if os.name != "posix":
        return True
    with tempfile.TemporaryDirectory(dir=folder) as inner:
        program = Path(inner) / "program"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o700)
        try:
            return subprocess.run([program], check=False).returncode == 0
        except OSError:
            return False
