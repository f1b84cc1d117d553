"""Being asked to end: once ends after the step under way, twice ends now; both go on later."""

import signal
import time

import psutil
import pytest

from .runs import FP32, artifacts, run, stages, start, write

LONG = FP32.partition("  student:")[0].replace("epochs: 8", "epochs: 60")
"""Long enough to be met while it trains."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    status, _, errors = run(write(folder / "long.yaml", LONG), folder)
    assert status == 0, errors
    return artifacts(folder)


def trains(event):
    return event["event"] == "stage_progress" and event["what"] == "training" and event["done"] > 40


def has_ended(processes):
    _, alive = psutil.wait_procs(processes, timeout=10)
    return not alive


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_once_it_ends_after_the_step_with_its_state(tmp_path, undisturbed, number):
    file = write(tmp_path / "long.yaml", LONG)
    running = start(file, tmp_path)
    assert running.until(trains)
    others = psutil.Process(running.process.pid).children(recursive=True)
    running.process.send_signal(number)
    status, errors = running.end()
    assert status == 130
    assert running.last("run_stopping")
    assert not running.last("stage_failed")
    assert "Interrupted in stage teacher" in errors
    assert has_ended(others)
    reached = running.last("stage_progress")["done"]
    status, events, errors = run(file, tmp_path)
    assert status == 0, errors
    first = next(event for event in events if event["event"] == "stage_progress")
    assert first["what"] == "resumed"
    assert first["done"] >= reached
    assert artifacts(tmp_path) == undisturbed


def test_one_signal_to_every_process_is_one_wish(tmp_path):
    file = write(tmp_path / "long.yaml", LONG)
    running = start(file, tmp_path)
    assert running.until(trains)
    (worker,) = psutil.Process(running.process.pid).children()
    worker.send_signal(signal.SIGTERM)  # as a service manager does
    running.process.send_signal(signal.SIGTERM)
    status, _ = running.end()
    assert status == 130
    _, events, errors = run(file, tmp_path)
    first = next(event for event in events if event["event"] == "stage_progress")
    assert first["what"] == "resumed", errors


def test_asked_twice_it_ends_now(tmp_path, undisturbed):
    file = write(tmp_path / "long.yaml", LONG)
    running = start(file, tmp_path)
    assert running.until(trains)
    others = psutil.Process(running.process.pid).children(recursive=True)
    for child in others:  # a step that takes for ever
        child.suspend()
    running.process.send_signal(signal.SIGINT)
    assert running.until(lambda event: event["event"] == "run_stopping")
    asked = time.monotonic()
    running.process.send_signal(signal.SIGINT)
    status, _ = running.end()
    assert status == 130
    assert time.monotonic() - asked < 30
    assert has_ended(others)
    status, _, errors = run(file, tmp_path)
    assert status == 0, errors
    assert artifacts(tmp_path) == undisturbed


def test_measuring_is_interrupted_where_it_stands(tmp_path):
    file = write(tmp_path / "small.yaml", FP32.replace("min_s: 0.05", "min_s: 20"))
    running = start(file, tmp_path)
    assert running.until(lambda e: e["event"] == "stage_progress" and "timing" in e["what"])
    others = psutil.Process(running.process.pid).children(recursive=True)
    asked = time.monotonic()
    running.process.send_signal(signal.SIGTERM)
    status, errors = running.end()
    assert status == 130, errors
    assert time.monotonic() - asked < 15
    assert has_ended(others)


def test_a_worker_that_is_told_to_end_ends_the_run_alike(tmp_path):
    file = write(tmp_path / "long.yaml", LONG)
    running = start(file, tmp_path)
    assert running.until(trains)
    (worker,) = psutil.Process(running.process.pid).children()
    worker.send_signal(signal.SIGTERM)
    status, errors = running.end()
    assert status == 130, errors
    assert stages(running.events, "stage_done") == []
