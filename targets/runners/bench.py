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
import sys
import time
from pathlib import Path
from statistics import median

import machine
from children import Child, Company, FailedError

ROUNDS = 10
"""Measuring blocks of a program in one restart; the first and last two tell of drift."""
WINDOW = 2


def measure(job):
    """Return one restart's samples by program: start all, warm all, then take turns."""
    programs = job["programs"] if job["number"] % 2 == 0 else job["programs"][::-1]
    heat = machine.throttle_count()
    warm = {key: job[key] for key in ("tolerance", "limit_s")}
    warm |= {"runs": job["warmup_runs"], "seconds": job["warmup_s"]}
    size = {"runs": math.ceil(job["min_runs"] / ROUNDS), "seconds": job["min_s"] / ROUNDS}
    with contextlib.ExitStack() as started:
        company = Company([started.enter_context(Child(job, program)) for program in programs])
        said = [company.start(), company.ask("warm", **warm)]
        blocks = [company.ask("block", backwards=turn % 2 == 1, **size) for turn in range(ROUNDS)]
        said.append(company.ask("end"))
        if job.get("traced"):
            said.append(company.ask("trace"))
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
            said = [company.start(), company.ask("score", out=str(out), batch=job["batch"])]
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
