"""Runs mutants in processes that may crash or hang, and counts what came of them."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KINDS_OF_FILES = 14
"""How many kinds of files `kept_files` takes in turn."""
SILENT_S = 700
"""How long one mutant may take by the wall clock."""
ATTEMPTS = 50
"""How often a process may die before we stop."""


@dataclass
class Survey:
    """What came of the mutants."""

    counts: Counter[str] = field(default_factory=Counter)
    found: list[dict[str, Any]] = field(default_factory=list)
    """What should not have happened, with the mutant's number."""

    def table(self) -> dict[str, int]:
        """Return the counts, sorted by name."""
        return dict(sorted(self.counts.items()))

    def save(self, folder: Path) -> None:
        """Write every finding to a file."""
        folder.mkdir(parents=True, exist_ok=True)
        for finding in self.found:
            (folder / f"{finding['number']}.json").write_text(json.dumps(finding, indent=1))


def survey(module: str, seed: int, count: int, *, jobs: int = 1, first: int = 0) -> Survey:
    """Run `count` mutants in `jobs` processes of a module of this package."""
    found = Survey()
    turns = [
        threading.Thread(target=_watch, args=(module, seed, first + job, share, jobs, found))
        for job in range(jobs)
        if (share := len(range(job, count, jobs)))
    ]
    for turn in turns:
        turn.start()
    for turn in turns:
        turn.join()
    return found


def environment() -> dict[str, str]:
    """Return the environment in which modules of this package run as processes."""
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    own = {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    return os.environ | own | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _watch(module: str, seed: int, first: int, count: int, step: int, found: Survey) -> None:
    """Run mutants in one process after another: each goes on after what ended the one before."""
    number, left = first, count
    for _ in range(ATTEMPTS):
        with tempfile.NamedTemporaryFile() as place:
            how = _run(module, [seed, number, left, step], Path(place.name), found)
            if not how:
                return
            text = Path(place.name).read_text().strip()
        last = int(text) if text else number
        found.found.append({"number": last, "why": f"the process {how}"})
        found.counts["died"] += 1
        left -= (last - number) // step + 1
        number = last + step
        if left <= 0:
            return
    found.found.append({"number": number, "why": f"gave up after {ATTEMPTS} deaths"})


def _run(module: str, numbers: list[int], place: Path, found: Survey) -> str:
    """Return how the process ended before its work did; nothing where it was done."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", module, *map(str, numbers), str(place)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    with process:
        return _followed(process, place, found)


def _followed(process: "subprocess.Popen[str]", place: Path, found: Survey) -> str:
    """Take in what a process says until it ends; return how it ended too early, or nothing."""
    late = threading.Event()
    threading.Thread(target=_end_if_silent, args=(process, place, late), daemon=True).start()
    errors: list[str] = []
    reader = threading.Thread(target=lambda: errors.extend(process.stderr or ()))
    reader.start()
    done = False
    for line in process.stdout or ():
        message = json.loads(line)
        if "counts" in message:
            found.counts.update(message["counts"])
            done = message.get("done", False)
        else:
            found.found.append(message)
    status = process.wait()
    reader.join()
    if done and not status:
        return ""
    return "hangs" if late.is_set() else f"ended with {status}: {''.join(errors[-12:])}"


def _end_if_silent(process: "subprocess.Popen[str]", place: Path, late: threading.Event) -> None:
    """Kill a process whose number at work stays the same for too long."""
    last, since = b"", time.monotonic()
    while process.poll() is None:
        time.sleep(0.5)
        try:
            now = place.read_bytes()
        except OSError:
            return
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > SILENT_S:
            late.set()
            process.kill()
