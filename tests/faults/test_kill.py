"""SIGKILL at any moment: the next run goes on from there and ends with the same bytes."""

import random
import time
from collections import Counter
from pathlib import Path

from .runs import artifacts, run, stages, start, write

QUICKSTART = Path(__file__).parents[2] / "pipelines" / "quickstart.yaml"
EVERY_STEPS = 5
IN_ONE_CHAIN = 4
"""Kills of one stage before its run may go on to the next one."""


def test_a_run_that_is_killed_ends_with_the_bytes_of_one_that_is_not(
    tmp_path, full, rounds, counted
):
    """In short a small pipeline, in full the quickstart; the stages take their turns at dying."""
    file = QUICKSTART if full else write(tmp_path / "small.yaml")
    often = ("--set", f"checkpoint.every_steps={EVERY_STEPS}")
    chance, kills = random.Random(3), rounds(4, 200)
    status, events, errors = run(file, tmp_path / "undisturbed", *often)
    assert status in (0, 1), errors  # 1 where a busy machine misses a gate of the quickstart
    assert events[-1]["event"] == "run_done", errors
    whole = artifacts(tmp_path / "undisturbed")
    took = {e["stage"]: e["seconds"] for e in events if e["event"] == "stage_done"}
    hit, chains, resumed = Counter(dict.fromkeys(took, 0)), 0, 0
    quota = -(-kills // len(took))
    while hit.total() < kills:
        chains += 1
        folder = tmp_path / f"chain {chains}"
        here, done, reached = Counter(), Counter(), {}
        while True:
            open_to_us = [
                stage
                for stage in took
                if not done[stage] and here[stage] < IN_ONE_CHAIN and hit[stage] < quota
            ]
            running, status, errors = start(file, folder, *often), None, ""
            if open_to_us and hit.total() < kills:
                aim = open_to_us[0]
                running.until(lambda e, aim=aim: begins(e, aim))
                time.sleep(chance.uniform(0, took[aim]))
            killed = bool(open_to_us) and hit.total() < kills and running.process.poll() is None
            if killed:
                running.kill(tree=chance.random() < 0.5)
            else:
                status, errors = running.end()
            done.update(stages(running.events, "stage_done"))
            assert max(done.values(), default=1) == 1, f"a finished stage was made again: {done}"
            resumed += goes_on(running.events, reached)
            if not killed:
                assert status in (0, 1), errors
                assert running.last("run_done"), errors
                break
            begun = running.last("stage_started")
            here[begun["stage"]] += 1
            hit[begun["stage"]] += 1
        assert artifacts(folder) == whole
        assert not list((folder / "store" / "tmp").iterdir())
    every = dict(sorted(hit.items()))
    assert all(hit[stage] for stage in took) or not full, every
    counted("SIGKILL", kills=hit.total(), finished_runs=chains, went_on=resumed, by_stage=every)


def begins(event, stage):
    return event["event"] == "stage_started" and event["stage"] == stage


def goes_on(events, reached):
    """Check that training goes on where it was, but for the steps since its last checkpoint.

    `reached` holds the furthest step that was told of each stage; it is brought up to date.
    """
    went_on = 0
    for event in events:
        if event["event"] != "stage_progress":
            continue
        stage, step = event["stage"], event["done"]
        if event["what"] == "resumed":
            assert step >= reached.get(stage, 0) - EVERY_STEPS, f"{stage}: {reached[stage]}, {step}"
            went_on += 1
        if event["what"] in ("training", "resumed"):
            reached[stage] = max(step, reached.get(stage, 0))
    return went_on
