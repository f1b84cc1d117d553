"""One program in one fresh process: answers requests, one JSON line each, over pipes.

Nothing is loaded but the standard library, numpy and the runtime of the program. What the runtime
prints goes to the error stream, so that it cannot be taken for an answer.
"""

import gc
import importlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import limits
import machine
import numpy as np
from feeds import Feeds

clock = time.perf_counter_ns
FILLING_NS = 200_000_000
"""Warm-up of a stream, which is no percentile's."""
PROFILED_RUNS, UNSETTLED_RUNS = 25, 5
"""Runs in which operators are timed, and how many of them, the first, do not count."""


class Worker:
    """Does what is asked of one program."""

    def __init__(self, job, program):
        self.job, self.about, self.meter = job, program, machine.Meter()

    def load(self, **more):
        """Load the program: milliseconds, imports not counted."""
        ports = self.about["inputs"]
        fed_back = {into for _, into in self.about["state"]}
        folder = Path(self.about["samples"])
        loader = self.loader()
        loader.check(self.about["file"])
        began = clock()
        self.program = loader.Program(
            self.about["file"],
            inputs=[port["name"] for port in ports],
            outputs=[port["name"] for port in self.about["outputs"]],
            threads=self.job["threads"],
            graph_level=self.about["graph_level"],
            **more,
        )
        loaded = clock()
        columns = {
            port["name"]: np.load(folder / f"{port['name']}.npy", mmap_mode="r")
            for port in ports
            if port["name"] not in fed_back
        }
        whole = self.about.get("whole_calls", False)
        self.feeds = Feeds(self.program, columns, ports, self.about["state"], whole_calls=whole)
        return {"load_ms": (loaded - began) / 1e6, "version": loader.VERSION}

    def first(self):
        """Run the program for the first time: milliseconds."""
        return {"first_ms": self.timed(1, 0)[0] / 1e6}

    def loader(self):
        """Return the module that loads programs of this runtime."""
        return importlib.import_module(Path(self.about["runner"]).stem)

    def version(self):
        """Return the version of the runtime."""
        return {"version": self.loader().VERSION}

    def timed(self, runs, seconds):
        """Return nanoseconds of at least `runs` calls over at least `seconds`."""
        run, feeds, taken = self.program.run, self.feeds, []
        end = clock() + int(seconds * 1e9)
        while True:
            feed = feeds.next()
            began = clock()
            raw = run(feed)
            ended = clock()
            taken.append(ended - began)
            feeds.keep(raw)
            if len(taken) >= runs and ended >= end:
                return taken

    def warm(self, runs, seconds, tolerance, limit_s):
        """Run until two windows in a row have the same median, at least `runs` and `seconds`."""
        began, total, before, settled = clock(), 0, None, False
        while True:
            window = self.timed(max(1, runs // 2), seconds / 4)
            total, now = total + len(window), median(window)
            settled = before is not None and abs(now / before - 1) <= tolerance
            before, spent = now, (clock() - began) / 1e9
            if total >= runs and spent >= seconds and (settled or spent >= limit_s):
                return {"warmup_runs": total, "settled": settled}

    def block(self, runs, seconds):
        """Return one measuring block: latencies in ns, the process time and energy they took.

        One run before it is not counted: another program held the caches a moment ago.
        """
        self.timed(1, 0)
        gc.collect()
        gc.disable()
        counted = self.meter.read()
        cpu, wall = time.process_time_ns(), clock()
        taken = self.timed(runs, seconds)
        wall, cpu = clock() - wall, time.process_time_ns() - cpu
        energy = self.meter.joules(counted)
        gc.enable()
        return {"ns": taken, "wall_s": wall / 1e9, "cpu_s": cpu / 1e9, "energy_j": energy}

    def score(self, out, batch):
        """Run every example once, `batch` at a time where any number goes; one .npy per output."""
        feeds, program, kept = self.feeds, self.program, {}
        step = min(batch, program.max_batch or batch) if feeds.any_batch() else feeds.step
        for start in range(0, feeds.num_examples, step):
            count = min(step, feeds.num_examples - start)
            sample = feeds.sample(start, count if feeds.any_batch() else step)
            raw = program.run(program.prepare(sample | feeds.states(anew=True)))
            for name, array in program.arrays(raw).items():
                kept.setdefault(name, []).append(array[:count] if array.ndim else array[None])
        for name, parts in kept.items():
            np.save(Path(out) / f"{name}.npy", np.concatenate(parts), allow_pickle=False)
        return {"examples": feeds.num_examples, "batch": step}

    def trace(self):
        """Return the share of time outside the back-end; a runtime without one has nothing there.

        A program that keeps count is slower, and is asked after all else was measured.
        """
        told = getattr(self.loader(), "undelegated_time", None)
        return {"undelegated_time": told(self.about["file"], self.feeds) if told else 0.0}

    def profile(self):
        """Return what each operator took; nothing where the runtime does not tell."""
        told = getattr(self.loader(), "profile", None)
        if told is None:
            return {"profile": None}
        with tempfile.TemporaryDirectory() as folder:
            self.load(noted=folder)
            self.timed(PROFILED_RUNS, 0)
            return {"profile": told(self.program, self.about["file"], folder, UNSETTLED_RUNS)}

    def fill(self, batch):
        """Make ready to run `batch` examples a call, and warm up; say what the clock shows then."""
        most = self.program.max_batch
        if batch > 1 and most and batch > most:
            raise ValueError(f"it takes at most {most} examples a call")
        self.calls = self.feeds.calls(batch, self.about["batched"]) if batch > 1 else []
        self.batch, end, turn = batch, clock() + FILLING_NS, 0
        while turn < 2 or clock() < end:
            self.call(turn)
            turn += 1
        return {"now_ns": clock()}

    def call(self, turn):
        """Run once, with the examples whose turn it is."""
        if self.calls:
            self.program.run(self.calls[turn % len(self.calls)])
        else:
            self.feeds.keep(self.program.run(self.feeds.next()))

    def stream(self, at, seconds):
        """Run from the time `at` on, which other processes share, for `seconds`."""
        time.sleep(max(0, at - clock()) / 1e9)
        began, cpu, turn = clock(), time.process_time_ns(), 0
        end = began + int(seconds * 1e9)
        while clock() < end:
            self.call(turn)
            turn += 1
        wall, cpu = clock() - began, time.process_time_ns() - cpu
        samples = self.batch * self.feeds.rows(self.about["batched"])
        about = {"samples": turn * samples, "samples_a_call": samples}
        return about | {"wall_s": wall / 1e9, "cpu_s": cpu / 1e9}

    def end(self):
        """Return what the process came to."""
        return {
            "peak_rss_mib": machine.peak_rss_mib(),
            "pss_mib": machine.pss_mib(),
            "load_average": os.getloadavg()[0],
            "modules": sorted({name.partition(".")[0] for name in sys.modules}),
        }


def serve():
    """Answer requests until the input ends: the first line is the job, then one request a line."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    first = json.loads(sys.stdin.readline())
    limits.confine(**first["limits"])
    worker = Worker(first["job"], first["program"])
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("do"))(**request)
        except Exception as error:  # the exceptions of runtimes share no other ancestor
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            sys.exit(1)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    serve()
