"""Runs one job of measuring or scoring and prints one JSON document.

    python3 -s -E bench.py JOB.json

Every program gets a fresh process per restart, with nothing but its own runtime in it. The
programs of a restart are measured in turns, A B C C B A ..., so that what changes on the machine
meanwhile falls on all of them alike. A program whose process ends or does not answer in time is
taken out, and the others go on. Needs the standard library, numpy and the runtimes.
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
ANSWERS = ROUNDS + 3
"""How often a process is asked in one restart: to load, to warm up, for each block, to end."""
MEASURING_MIB = 16
"""What a process may write that is only timed: its error stream."""
LAST_WORDS = 2**16
DOING = {
    "load": "while loading",
    "warm": "while warming up",
    "block": "while it was timed",
    "score": "while scoring",
    "version": "while starting",
    "end": "after its last run",
}


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
        written_mib = job["scores_mib"] if job["do"] == "score" else MEASURING_MIB
        confined = {
            "memory_mib": job["memory_mib"],
            "seconds": math.ceil(job["timeout_s"] * job["threads"] * ANSWERS),
            "written_mib": written_mib,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-s", "-E", str(Path(__file__).with_name("worker.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
        )
        self.send({"job": job, "program": program, "limits": confined})

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
        try:
            return json.loads(line)
        except ValueError:  # nothing, or a part of a line
            raise self.failure(in_time) from None

    def failure(self, in_time):
        """Return what is known of the end of the process."""
        with contextlib.suppress(subprocess.TimeoutExpired):  # it closed its end and lives on
            self.process.wait(self.timeout_s)
        self.process.kill()
        status = self.process.wait()
        self.errors.seek(max(0, self.errors.seek(0, os.SEEK_END) - LAST_WORDS))
        lines = self.errors.read().decode("utf-8", "replace").strip().splitlines()
        how = f"ended with exit status {status}"
        if not in_time:
            how = f"did not answer within {self.timeout_s:g} s"
        elif status < 0:
            how = f"was killed by {signal.Signals(-status).name}"
        about = f"{how} {DOING[self.doing]}"
        return FailedError(program=self.name, how=about, late=not in_time, lines=lines[-8:])


class Company:
    """The processes of programs that are measured together."""

    def __init__(self, children):
        self.children, self.failed = children, {}

    def ask(self, do, *, backwards=False, **request):
        """Return the answers by program; who does not answer leaves the company."""
        answers = {}
        for child in self.children[::-1] if backwards else self.children[:]:
            try:
                answers[child.name] = child.ask(do, **request)
            except FailedError as failed:
                self.failed[child.name] = failed.about
                self.children.remove(child)
        return answers


def measure(job):
    """Return one restart's samples by program: start all, warm all, then take turns."""
    programs = job["programs"] if job["number"] % 2 == 0 else job["programs"][::-1]
    heat = machine.throttle_count()
    warm = {key: job[key] for key in ("tolerance", "limit_s")}
    warm |= {"runs": job["warmup_runs"], "seconds": job["warmup_s"]}
    size = {"runs": math.ceil(job["min_runs"] / ROUNDS), "seconds": job["min_s"] / ROUNDS}
    with contextlib.ExitStack() as started:
        company = Company([started.enter_context(Child(job, program)) for program in programs])
        said = [company.ask("load"), company.ask("warm", **warm)]
        blocks = [company.ask("block", backwards=turn % 2 == 1, **size) for turn in range(ROUNDS)]
        said.append(company.ask("end"))
    throttled = {"throttled": machine.throttle_count() > heat}
    measured = {
        child.name: {name: value for each in said for name, value in each[child.name].items()}
        | summary([block[child.name] for block in blocks])
        | throttled
        for child in company.children
    }
    time.sleep(job["cool_down_s"])
    return {"measured": measured, "failed": company.failed}


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
    scored, failed = {}, {}
    for program in job["programs"]:
        out = Path(program["scores"])
        out.mkdir(parents=True, exist_ok=True)
        with Child(job, program) as child:
            company = Company([child])
            said = [company.ask("load"), company.ask("score", out=str(out), batch=job["batch"])]
            said.append(company.ask("end"))
        failed |= company.failed
        if not company.failed:
            found = (item for each in said for item in each[child.name].items())
            scored[child.name] = dict(found)
    return {"scored": scored, "failed": failed}


def identify(job):
    """Return the versions of the runtimes, without any program: what it is that would measure."""
    versions = {}
    for program in job["programs"]:
        with Child(job, program) as child, contextlib.suppress(FailedError):
            versions[program["name"]] = child.ask("version")["version"]
    return {"versions": versions}


DO = {"measure": measure, "score": score, "identify": identify}


def main():
    """Do the job named on the command line, from the job's folder."""
    path = Path(sys.argv[1]).resolve()
    os.chdir(path.parent)
    job = json.loads(path.read_text("utf-8"))
    document = {"format": 2, "machine": machine.identity(), "measured_at": machine.now()}
    print(json.dumps(document | DO[job["do"]](job)))


if __name__ == "__main__":
    main()
