"""SIGKILL at any moment: the next run goes on from there and ends with the same bytes."""

import random
import time
from collections import Counter
from pathlib import Path

from .runs import artifacts, run, stages, start, write

QUICKSTART = Path(__file__).parents[2] / "pipelines" / "quickstart.yaml"
EVERY_STEPS = 5


def test_a_run_that_is_killed_ends_with_the_bytes_of_one_that_is_not(
    tmp_path, full, rounds, counted
):
    """In short a small pipeline, in full the quickstart; the stages take their turns at dying."""
    file = QUICKSTART if full else write(tmp_path / "small.yaml")
    often = ("--set", f"checkpoint.every_steps={EVERY_STEPS}")
    chance, kills = random.Random(3), rounds(6, 200)
    status, events, errors = run(file, tmp_path / "undisturbed", *often)
    assert status in (0, 1), errors  # 1 where a busy machine misses a gate of the quickstart
    assert events[-1]["event"] == "run_done", errors
    whole = artifacts(tmp_path / "undisturbed")
    took = {e["stage"]: e["seconds"] for e in events if e["event"] == "stage_done"}
    hit, chains, resumed = Counter(dict.fromkeys(took, 0)), 0, 0
    while hit.total() < kills:
        chains += 1
        folder = tmp_path / f"chain {chains}"
        done, reached = Counter(), {}
        while True:
            left = [stage for stage in took if not done[stage]]
            running = start(file, folder, *often)
            if hit.total() < kills and left:
                aim = min(left, key=lambda stage: hit[stage])
                running.until(lambda e, aim=aim: begins(e, aim))
                time.sleep(chance.uniform(0, took[aim]))
                running.kill(tree=chance.random() < 0.5)
            status, errors = running.end() if running.process.returncode is None else (None, "")
            done.update(stages(running.events, "stage_done"))
            assert max(done.values(), default=1) == 1, f"a finished stage was made again: {done}"
            resumed += goes_on(running.events, reached)
            if status is not None:
                assert status in (0, 1), errors
                assert running.last("run_done"), errors
                break
            begun = running.last("stage_started")
            hit[begun["stage"] if begun else "before any stage"] += 1
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
