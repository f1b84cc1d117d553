"""Runs one job of measuring or scoring and prints one JSON document.

    python3 -s -E bench.py JOB.json

Every program gets a fresh process per restart, with nothing but its own runtime in it. The
programs of a restart are measured in turns, A B C C B A ..., so that what changes on the machine
meanwhile falls on all of them alike. A program whose process ends or does not answer in time is
taken out, and the others go on. Needs the standard library, numpy and the runtimes.
"""

import contextlib
import importlib.util
import json
import math
import os
import sys
import time
from pathlib import Path
from statistics import median

import etdump
import machine
from children import Child, Company, FailedError, together

ROUNDS = 10
"""Measuring blocks of a program in one restart; the first and last two tell of drift."""
WINDOW = 2
WINDOWS, LEAST_WINDOW_S, SUPPORTED_RUNS = 120, 1.0, 64
"""Of a long run: about how many windows, and the least time and number of runs of each."""
PACKAGES = {"bench_onnxruntime.py": "onnxruntime", "bench_executorch.py": "executorch"}


class Place:
    """Where programs run: on this machine.

    For a device without Python edgekd has another such object, of processes at the end of a link.
    """

    child = Child
    starting_ns = 100_000_000
    """Until all streams are asked that are to begin together."""

    def machine(self):
        """Return the machine as it is now, for what `machine` reads of it."""
        return machine.HERE

    def folder(self, path):
        """Make a folder for what a program writes."""
        Path(path).mkdir(parents=True, exist_ok=True)


def measure(job, at):
    """Return one restart's samples by program: start all, warm all, then take turns."""
    programs = job["programs"] if job["number"] % 2 == 0 else job["programs"][::-1]
    heat = machine.throttle_count(at.machine())
    warm = {key: job[key] for key in ("tolerance", "limit_s")}
    warm |= {"runs": job["warmup_runs"], "seconds": job["warmup_s"]}
    size = {"runs": math.ceil(job["min_runs"] / ROUNDS), "seconds": job["min_s"] / ROUNDS}
    with contextlib.ExitStack() as started:
        company = Company([started.enter_context(at.child(job, program)) for program in programs])
        said = [company.start(), company.ask("warm", **warm)]
        blocks = [company.ask("block", backwards=turn % 2 == 1, **size) for turn in range(ROUNDS)]
        said.append(company.ask("end"))
        if job.get("traced"):
            said.append(company.ask("trace"))
    throttled = {"throttled": machine.throttle_count(at.machine()) > heat}
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
        "energy_j": energy(blocks),
        "drift": last / first - 1,
    }


def energy(blocks):
    """Return the joules that the blocks took, None where not all were metered.

    A counter that never moved, as a virtual machine may have one, has metered nothing.
    """
    taken = [block.get("energy_j") for block in blocks]
    return None if None in taken else sum(taken) or None


def score(job, at):
    """Run every program over all examples, one fresh process each; the outputs stay in files."""
    scored, failed = {}, {}
    for program in job["programs"]:
        out = program["scores"]
        at.folder(out)
        with at.child(job, program) as child:
            company = Company([child])
            said = [company.start(), company.ask("score", out=out, batch=job["batch"])]
            said.append(company.ask("end"))
        failed |= company.failed
        if not company.failed:
            found = (item for each in said for item in each[child.name].items())
            scored[child.name] = dict(found)
    return {"scored": scored, "failed": failed}


def profile(job, at):
    """Return what the operators of every program took, in a process that times nothing else."""
    profiled, failed = {}, {}
    for program in job["programs"]:
        with at.child(job, program) as child:
            company = Company([child])
            said = company.ask("profile")
        failed |= company.failed
        profiled |= {
            name: told(about["profile"]) for name, about in said.items() if about["profile"]
        }
    return {"profiled": profiled, "failed": failed}


def told(profile):
    """Return what operators took; a C++ runner tells the events that this is found from."""
    return etdump.of_events(profile["noted"]) if "noted" in profile else profile


def sustain(job, at):
    """Run every program for `sustained_s`, one after another; return what each window came to."""
    sustained, failed = {}, {}
    for program in job["programs"]:
        time.sleep(job["cool_down_s"])
        with at.child(job, program) as child:
            company = Company([child])
            company.start()
            windows = [*lasting(at, company, child.name, job["sustained_s"])]
        failed |= company.failed
        if not company.failed:
            sustained[child.name] = windows
    return {"sustained": sustained, "failed": failed}


def lasting(at, company, name, seconds):
    """Yield windows until the time is over or the program failed; each supports its p90."""
    heat, began = machine.throttle_count(at.machine()), time.monotonic()
    size = max(LEAST_WINDOW_S, seconds / WINDOWS)
    while company.children and time.monotonic() - began < seconds:
        block = company.ask("block", runs=SUPPORTED_RUNS, seconds=size).get(name)
        if block:
            taken, now = sorted(block["ns"]), at.machine()
            yield {
                "at_s": time.monotonic() - began,
                "runs": len(taken),
                "p50_ms": taken[math.ceil(0.5 * len(taken)) - 1] / 1e6,
                "p90_ms": taken[math.ceil(0.9 * len(taken)) - 1] / 1e6,
                "cpu_share": block["cpu_s"] / block["wall_s"],
                "temperature_c": machine.number(machine.temperature_c(now)),
                "frequency_mhz": machine.frequencies_mhz(now),
                "throttled": machine.throttle_count(now) - heat,
            }


def stream(job, at):
    """Return samples a second of every program, run by several processes at the same time."""
    streamed, failed = {}, {}
    for program in job["programs"]:
        with contextlib.ExitStack() as started:
            streams = range(job["streams"])
            children = [started.enter_context(at.child(job, program)) for _ in streams]
            try:
                for child in children:
                    child.ask("load")
                    filled = child.ask("fill", batch=job["batch"])
                start = filled["now_ns"] + at.starting_ns  # by their clock: they may be far away
                said = together(children, "stream", at=start, seconds=job["min_s"])
            except FailedError as error:
                failed[program["name"]] = error.about
                continue
        streamed[program["name"]] = {
            "per_s": sum(each["samples"] / each["wall_s"] for each in said),
            "cores": sum(each["cpu_s"] / each["wall_s"] for each in said),
            "samples_a_call": said[0]["samples_a_call"],
        }
    time.sleep(job["cool_down_s"])
    return {"streamed": streamed, "failed": failed}


def identify(job, at):
    """Return the versions of the runtimes, without any program: what it is that would measure."""
    versions, failed = {}, {}
    for program in job["programs"]:
        with at.child(job, program) as child:
            try:
                versions[program["name"]] = child.ask("version")["version"]
            except FailedError as error:
                failed[program["name"]] = error.about
    return {"versions": versions, "failed": failed}


def missing(job):
    """Return the packages that this interpreter lacks, as far as is known what a runner takes."""
    runners = {program["runner"] for program in job["programs"]}
    needed = ["numpy", *(package for runner, package in PACKAGES.items() if runner in runners)]
    return [name for name in needed if importlib.util.find_spec(name) is None]


DO = {"measure": measure, "score": score, "profile": profile, "sustain": sustain}
DO |= {"stream": stream, "identify": identify}


def document(job, at):
    """Return what a job comes to, and the machine that it was done on."""
    about = {"format": 2, "machine": machine.identity(at.machine()), "measured_at": machine.now()}
    return about | DO[job["do"]](job, at)


def main():
    """Do the job named on the command line, from the job's folder."""
    path = Path(sys.argv[1]).resolve()
    os.chdir(path.parent)
    job = json.loads(path.read_text("utf-8"))
    lacking = [] if job["do"] == "identify" else missing(job)
    done = {"missing": lacking, "python": sys.executable} if lacking else document(job, Place())
    print(json.dumps(done))


if __name__ == "__main__":
    main()
