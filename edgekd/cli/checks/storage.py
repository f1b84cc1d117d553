"""Whether the store's disk can be trusted, and what lies in the store."""

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from filelock import FileLock, Timeout

from edgekd.cli.checks.finding import Finding, fine, hint, wrong
from edgekd.pipeline.room import readable
from edgekd.pipeline.store import Store

MIN_FREE = 2 * 2**30
SLOW_S = 0.25
LOOK_S = 20.0
"""How long results are looked at: a store may be larger than one wants to wait for."""
SHOWN = 5


def disk(store: Path, free: int | None = None) -> Iterator[Finding]:
    """Yield how much the store may grow."""
    place = nearest_folder(store)
    size = shutil.disk_usage(place).free if free is None else free
    if size < MIN_FREE:
        step = "Free some space (edgekd gc), or use --store on another disk."
        yield wrong("free disk", f"{readable(size)} for {store}", step)
    else:
        yield fine("free disk", f"{readable(size)} for {store}")


def writable(store: Path) -> Iterator[Finding]:
    """Yield whether files can be made, locked and brought to the disk where the store is."""
    place = nearest_folder(store)
    try:
        with tempfile.TemporaryDirectory(dir=place, prefix=".edgekd-doctor-") as folder:
            yield from locking(Path(folder), store)
            yield from syncing(Path(folder), store)
    except OSError as error:
        step = "Use --store and --runs elsewhere."
        yield wrong("store", f"{place} cannot be written: {error.strerror}", step)


def locking(folder: Path, store: Path) -> Iterator[Finding]:
    """Yield whether one lock keeps another from being taken."""
    file = folder / "lock"
    try:
        with FileLock(file, fallback_to_soft=False).acquire(timeout=0):
            try:
                with FileLock(file, fallback_to_soft=False).acquire(timeout=0):
                    problem = "a lock can be taken twice"
            except Timeout:
                yield fine("file locks", f"they hold for {store}")
                return
    except (OSError, NotImplementedError) as error:
        problem = f"they do not work: {error}"
    step = "Use --store on a local disk: two runs at once would spoil each other's results."
    yield wrong("file locks", f"{problem} (for {store})", step)


def syncing(folder: Path, store: Path, sync: Callable[[int], None] = os.fsync) -> Iterator[Finding]:
    """Yield how long the disk takes to make a small file safe."""
    took = []
    for index in range(3):
        with (folder / f"sync{index}").open("wb") as stream:
            stream.write(bytes(1 << 16))
            stream.flush()
            started = time.perf_counter()
            sync(stream.fileno())
            took.append(time.perf_counter() - started)
    middle = statistics.median(took)
    if middle > SLOW_S:
        step = "Every stage waits for some of these: use --store on a local disk."
        yield hint("disk", f"a small file takes {middle:.2f} s to be safe on {store}", step)
    else:
        yield fine("disk", f"a small file is safe on it within {middle * 1e3:.1f} ms")


def results(store: Path, limit_s: float = LOOK_S) -> Iterator[Finding]:
    """Yield the results that are no longer what was committed."""
    folder = store / "results"
    if not folder.is_dir():
        return
    began, looked = time.monotonic(), 0
    folders, harmed = sorted(folder.iterdir()), []
    there = Store(store)
    for result in folders:
        if time.monotonic() - began > limit_s:
            break
        looked += 1
        harm = there.look(result.name).harm
        if harm:
            harmed.append(f"{result.name} ({harm})")
    count = f"{looked} of {len(folders)}" if looked < len(folders) else f"{looked}"
    if harmed:
        more = f" and {len(harmed) - SHOWN} more" if len(harmed) > SHOWN else ""
        yield wrong(
            "results",
            f"{len(harmed)} of {count} in {store} were altered: {', '.join(harmed[:SHOWN])}{more}",
            "A run makes them anew when it needs them. If nobody touched them, test the disk.",
        )
    else:
        yield fine("results", f"{count} in {store} are as they were committed")


def flatc(program: Path | None = None) -> Iterator[Finding]:
    """Yield that the program which ExecuTorch writes its files with cannot be started."""
    own = _own_flatc() if program is None else program
    if own is None:
        return
    try:
        done = subprocess.run([own, "--version"], capture_output=True, check=False, timeout=30)
        problem = "" if done.returncode == 0 else f"it ended with status {done.returncode}"
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = str(error)
    if problem:
        step = "pip install --force-reinstall --no-cache-dir executorch, on a disk without noexec."
        yield wrong("executorch flatc", f"{own} cannot be started: {problem}", step)


def nearest_folder(path: Path) -> Path:
    """Return the path, or the folder above it that is there."""
    return next(p for p in (path, *path.absolute().parents) if p.is_dir())


def _own_flatc() -> Path | None:
    spec = find_spec("executorch")
    places = list(spec.submodule_search_locations or ()) if spec else []
    for place in places:
        path = Path(place) / "data" / "bin" / "flatc"
        if path.is_file():
            return path
    return None
