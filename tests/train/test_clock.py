"""Where the time goes."""

import time

import torch

from edgekd.train import clock as clock_module
from edgekd.train.clock import Clock

BATCHES = [{"ids": torch.arange(8)}] * 3


def test_each_part_gets_its_time_and_what_is_between_epochs_gets_none(monkeypatch):
    now = iter([0.0, 1.0, 1.0, 3.0, 3.0, 100.0, 101.0, 104.0, 104.0, 104.0])
    monkeypatch.setattr(clock_module.time, "perf_counter", lambda: next(now))
    clock = Clock(torch.device("cpu"))
    steps = clock.steps(BATCHES[:2])
    next(steps)  # from 0: a second of waiting for data, then two of the student
    clock.mark("teacher")
    clock.mark("student")
    steps_done = clock.per_second
    assert steps_done == 0.0
    next(steps)
    clock.mark("student")
    shares = clock.facts()["time_shares"]
    assert set(shares) == {"data", "teacher", "student"}
    assert abs(sum(shares.values()) - 1) < 1e-3


def test_speed_is_examples_by_the_time_of_steps():
    clock = Clock(torch.device("cpu"))
    began = time.perf_counter()
    for _ in clock.steps(BATCHES):
        clock.mark("student")
    spent = time.perf_counter() - began
    assert clock.per_second >= 24 / spent
    assert clock.examples == 24
    assert clock.facts()["peak_memory_mib"] > 50


def test_a_peak_before_it_does_not_count():
    held = torch.ones(2**26)  # 256 MiB
    del held
    clock = Clock(torch.device("cpu"))
    before = clock.facts()["peak_memory_mib"]
    held = torch.ones(2**26)
    assert clock.facts()["peak_memory_mib"] - before > 200
    del held
