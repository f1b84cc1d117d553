"""The processes of programs, one each, and what becomes of one that ends or does not answer."""

import contextlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

MOST_ANSWERS = 16
"""More than a process is asked in its life: each may take the time of `timeout_s`."""
MEASURING_MIB = 16
"""What a process may write that is only timed: its error stream."""
LAST_WORDS = 2**16
LONGEST_LINE = 300
COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
DOING = {
    "load": "while loading",
    "first": "in its first run",
    "warm": "while warming up",
    "block": "while it was timed",
    "score": "while scoring",
    "version": "while starting",
    "fill": "while warming up",
    "stream": "while it was timed",
    "end": "after its last run",
    "trace": "while its operators were timed",
    "profile": "while its operators were timed",
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
        worker = "worker.py" if program["runner"].endswith(".py") else "worker_native.py"
        self.process = subprocess.Popen(
            [sys.executable, "-s", "-E", str(Path(__file__).with_name(worker))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
        )
        self.send({"job": job, "program": program, "limits": confined(job)})

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
        return together([self], do, **request)[0]

    def answer(self):
        """Return the answer to what was sent; FailedError as of `ask`."""
        watch = threading.Timer(self.timeout_s, self.process.kill)
        watch.start()
        try:
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
        return ended(self, status if in_time else None, self.errors.read())


def confined(job):
    """Return the limits on the process of a program."""
    writes = job["do"] in ("score", "profile")
    seconds = job["timeout_s"] * MOST_ANSWERS + job.get("sustained_s", 0)
    return {
        "memory_mib": job["memory_mib"],
        "seconds": math.ceil(seconds * job["threads"]),
        "written_mib": job["scores_mib"] if writes else MEASURING_MIB,
    }


def ended(child, status, wrote):
    """Return how a process ended, below 0 by a signal; None, where it did not answer in time."""
    lines = [plain(line) for line in wrote.decode("utf-8", "replace").split("\n")]
    late = f"did not answer within {child.timeout_s:g} s"
    how = late if status is None else ending(status)
    return FailedError(
        program=child.name,
        how=f"{how} {DOING[child.doing]}",
        late=status is None,
        lines=[*filter(None, lines)][-8:],
    )


def ending(status):
    """Return how a process ended, below 0 by a signal; most real-time ones only have a number."""
    if status >= 0:
        return f"ended with exit status {status}"
    named = -status in {*signal.Signals}
    return f"was killed by {signal.Signals(-status).name if named else f'signal {-status}'}"


def together(children, do, **request):
    """Return the answers of several to one request, sent to all before any is awaited."""
    for child in children:
        child.doing = do
        child.send({"do": do, **request})
    return [child.answer() for child in children]


def plain(line):
    """Return a line without colours and whatever else would move a terminal, and not too long."""
    text = "".join(c if c.isprintable() else " " for c in COLOURS.sub("", line)).strip()
    return text if len(text) <= LONGEST_LINE else f"{text[:LONGEST_LINE]} ..."


class Company:
    """The processes of programs that are measured together."""

    def __init__(self, children):
        self.children, self.failed = children, {}

    def start(self):
        """Have each load and run once, one after another; return the answers by program."""
        return self.ask("load", "first")

    def ask(self, *doing, backwards=False, **request):
        """Return the answers by program; who does not answer leaves the company."""
        answers = {}
        for child in self.children[::-1] if backwards else self.children[:]:
            try:
                said = [child.ask(do, **request) for do in doing]
                answers[child.name] = {name: each[name] for each in said for name in each}
            except FailedError as failed:
                self.failed[child.name] = failed.about
                self.children.remove(child)
        return answers
