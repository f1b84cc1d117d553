"""Opens mutants of ONNX and .pte files as the runners on a device do: see `child`.

What a runner does in a process of its own happens here in a copy of a process in which the runtime
is imported already: it is described as `describe.py` describes, and run as `worker.py` runs.
$EDGEKD_PROGRAMS is the folder of the good programs.
"""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgekd.core.shipped import shipped
from fuzz import programs
from fuzz.child import Outcome, Try, work

RUNNERS = shipped("targets") / "runners"
sys.path.insert(0, str(RUNNERS))

import bench  # noqa: E402
import describe  # noqa: E402
import describing  # noqa: E402
import worker  # noqa: E402

SECONDS = 5
"""Processor time of one copy."""
WALL_S = 300
MEMORY_MIB = 2048
LIMITS = {"memory_mib": MEMORY_MIB, "seconds": SECONDS, "written_mib": 16}


class Opening:
    """Opens programs in copies of this process."""

    def __init__(self, folder: Path, ending: str):
        self.folder, self.ending = folder, ending
        self.good = programs.good(ending)
        module = {".onnx": "describe_onnxruntime", ".pte": "describe_executorch"}[ending]
        self.described = __import__(module).described
        runner = {".onnx": "bench_onnxruntime", ".pte": "bench_executorch"}[ending]
        self.runner = f"{runner}.py"
        __import__(runner)

    def attempt(self, rng: random.Random) -> Outcome:
        """Describe a mutant, and run it where it can be described."""
        path = rng.choice(list(self.good))
        how, content = programs.mutated(path, self.good, rng)
        file = self.folder / f"mutant{self.ending}"
        file.write_bytes(content)
        came, why = self.describe(file)
        if came == "described":
            came, why = self.run(file, path)
        evidence = {"content": content[:400_000].hex(), "file": path.name}
        return Outcome(f"{self.ending} {how} {came}", why, evidence)

    def describe(self, file: Path) -> tuple[str, str]:
        """Return what came of describing a file, and what should not have happened."""
        sys.argv[1:] = [str(file), str(SECONDS), str(MEMORY_MIB)]
        done = copied(lambda: describing.answer(self.described), b"")
        if not done.returncode:
            try:
                found = json.loads(done.stdout)
                return "described", "" if found["inputs"] is not None else "nothing is described"
            except ValueError as error:
                return "described", f"no JSON: {error} {done.stdout[:200]!r}"
        said = describe.objection(done, SECONDS)
        return _came(done.returncode, "describing", said)

    def run(self, file: Path, like: Path) -> tuple[str, str]:
        """Return what came of loading, running and scoring a file as the one that it was."""
        scores = self.folder / "scores"
        shutil.rmtree(scores, ignore_errors=True)
        scores.mkdir()
        program = programs.signature(like.name).as_dict() | {
            "name": "mutant",
            "file": str(file),
            "runner": self.runner,
            "samples": str(programs.samples(like)),
            "scores": str(scores),
            "graph_level": "all",
        }
        job = {"threads": 1, "timeout_s": WALL_S}
        said = [
            {"job": job, "program": program, "limits": LIMITS},
            {"do": "load"},
            {"do": "score", "out": str(scores), "batch": 64},
        ]
        given = "".join(json.dumps(each) + "\n" for each in said).encode()
        done = copied(worker.serve, given)
        if not done.returncode:
            answers = [json.loads(line) for line in done.stdout.splitlines()]
            return "ran", "" if len(answers) == 2 else f"{len(answers)} answers: {done.stderr!r}"
        words = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        return _came(done.returncode, "running", "".join(words))


def _came(status: int, doing: str, said: str) -> tuple[str, str]:
    """Return how a process ended in words, and whether too little is said about it."""
    if "Traceback (most recent" in said:
        return f"refused {doing}", f"a traceback: {said[:200]}"
    if status == -signal.SIGXCPU:
        return f"stopped {doing} after {SECONDS} s", ""
    if status == -signal.SIGKILL:
        return f"killed {doing}", f"it outlived its limits: {said[:200]}"
    if status < 0:
        return f"crashed {doing} by {signal.Signals(-status).name}", ""
    return f"refused {doing}", "" if said.strip() else f"status {status} and no word"


def copied(do: Callable[[], Any], given: bytes) -> "subprocess.CompletedProcess[bytes]":
    """Return what came of `do` in a copy of this process, as of a process of its own."""
    here = Path("copy")
    here.mkdir(exist_ok=True)
    (here / "in").write_bytes(given)
    child = os.fork()
    if not child:
        _become(do, here)
    end = time.monotonic() + WALL_S
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            break
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.001)
    out, errors = (here / "out").read_bytes(), (here / "errors").read_bytes()
    return subprocess.CompletedProcess([], os.waitstatus_to_exitcode(status), out, errors)


def _become(do: Callable[[], Any], here: Path) -> None:
    """Be the process that does it: never returns."""
    status = 1
    try:
        for number, name, flags in ((0, "in", os.O_RDONLY), (1, "out", OUT), (2, "errors", OUT)):
            os.dup2(os.open(here / name, flags, 0o600), number)
        sys.stdin = os.fdopen(0, "r")
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        do()
        status = 0
    except SystemExit as left:
        status = int(left.code or 0)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


OUT = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


def prepare(folder: Path) -> Try:
    """Return what opens one mutant: ONNX and .pte take turns."""
    assert bench.ROUNDS
    import torch

    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    openings = [Opening(folder, ending) for ending in (".onnx", ".pte")]
    for opening in openings:
        for path in opening.good:
            assert opening.describe(path) == ("described", ""), path
            came = opening.run(path, path)
            assert came == ("ran", ""), (path, came, Path("copy/errors").read_text()[-500:])

    def attempt(seed: int, number: int) -> Outcome:
        return openings[number % 2].attempt(random.Random(f"{seed}/{number}"))

    return attempt


if __name__ == "__main__":
    work(prepare, memory=resource.RLIM_INFINITY)
