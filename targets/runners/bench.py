"""Runs one job of measuring or scoring and prints one JSON document.

    python3 -s -E bench.py JOB.json

Every program gets a fresh process per restart, with nothing but its own runtime in it. The
programs of a restart are measured in turns, A B C C B A ..., so that what changes on the machine
meanwhile falls on all of them alike. Needs the standard library, numpy and the runtimes.
"""

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

import machine

ROUNDS = 10
"""Measuring blocks of a program in one restart; the first and last two tell of drift."""
WINDOW = 2


class FailedError(Exception):
    """A program's process did not answer."""

    def __init__(self, **about):
        self.about = about
        super().__init__(str(about))


class Child:
    """The process of one program, spoken to in JSON lines."""

    def __init__(self, job, program):
        self.name, self.timeout_s, self.doing = program["name"], job["timeout_s"], "starting"
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed in __exit__)
        self.process = subprocess.Popen(
            [sys.executable, "-s", "-E", str(Path(__file__).with_name("worker.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
        )
        self.send({"job": job, "program": program})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    def send(self, message):
        """Write one line; a process that is gone shows when its answer is awaited."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()

    def ask(self, do, **request):
        """Return the answer to a request; FailedError where the process ends or takes too long."""
        self.doing = do
        watch = threading.Timer(self.timeout_s, self.process.kill)
        watch.start()
        try:
            self.send({"do": do, **request})
            line = self.process.stdout.readline()
        finally:
            in_time = watch.is_alive()
            watch.cancel()
        if not line:
            raise self.failure(in_time)
        return json.loads(line)

    def failure(self, in_time):
        """Return what is known of the end of the process."""
        status = self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().decode("utf-8", "replace").strip().splitlines()
        how = f"ended with exit status {status}"
        if not in_time:
            how = f"did not answer within {self.timeout_s:g} s"
        elif status < 0:
            how = f"was killed by {signal.Signals(-status).name}"
        return FailedError(
            program=self.name, doing=self.doing, how=how, late=not in_time, lines=lines[-8:]
        )


def measure(job):
    """Return one restart's samples by program: start all, warm all, then take turns."""
    programs = job["programs"] if job["number"] % 2 == 0 else job["programs"][::-1]
    heat = machine.throttle_count()
    with contextlib.ExitStack() as open_children:
        children = [open_children.enter_context(Child(job, program)) for program in programs]
        found = {child.name: child.ask("load") for child in children}
        warm = {key: job[key] for key in ("tolerance", "limit_s")}
        for child in children:
            found[child.name] |= child.ask(
                "warm", runs=job["warmup_runs"], seconds=job["warmup_s"], **warm
            )
        blocks = {child.name: [] for child in children}
        size = {"runs": math.ceil(job["min_runs"] / ROUNDS), "seconds": job["min_s"] / ROUNDS}
        for turn in range(ROUNDS):
            for child in children if turn % 2 == 0 else children[::-1]:
                blocks[child.name].append(child.ask("block", **size))
        throttled = machine.throttle_count() > heat
        measured = {
            child.name: found[child.name]
            | child.ask("end")
            | summary(blocks[child.name])
            | {"throttled": throttled}
            for child in children
        }
    time.sleep(job["cool_down_s"])
    return {"measured": measured}


def summary(blocks):
    """Return the samples of the blocks in ns, their cost, and how far they drifted."""
    first, last = (
        median(ns for block in part for ns in block["ns"])
        for part in (blocks[:WINDOW], blocks[-WINDOW:])
    )
    return {
        "ns": [ns for block in blocks for ns in block["ns"]],
        "wall_s": sum(block["wall_s"] for block in blocks),
        "cpu_s": sum(block["cpu_s"] for block in blocks),
        "drift": last / first - 1,
    }


def score(job):
    """Run every program over all examples, one fresh process each; the outputs stay in files."""
    found = []
    for program in job["programs"]:
        out = Path(program["scores"])
        out.mkdir(parents=True, exist_ok=True)
        with Child(job, program) as child:
            loaded = child.ask("load")
            found.append(
                loaded | child.ask("score", out=str(out), batch=job["batch"]) | child.ask("end")
            )
    return {"scored": found}


def main():
    """Do the job named on the command line, from the job's folder."""
    path = Path(sys.argv[1]).resolve()
    os.chdir(path.parent)
    job = json.loads(path.read_text("utf-8"))
    document = {"format": 1, "machine": machine.identity(), "measured_at": machine.now()}
    try:
        document |= {"measure": measure, "score": score}[job["do"]](job)
    except FailedError as failed:
        document["failed"] = failed.about
    print(json.dumps(document))


if __name__ == "__main__":
    main()
