"""Where the time goes."""

import time

import torch

from edgekd.train import clock as clock_module
from edgekd.train.clock import Clock

BATCHES = [{"ids": torch.arange(8)}] * 3


def test_each_part_gets_its_time_and_the_first_step_is_told_apart(monkeypatch):
    now = iter([0.0, 1.0, 9.0, 9.0, 10.0, 11.0, 12.0, 14.0, 14.0, 20.0])
    monkeypatch.setattr(clock_module.time, "perf_counter", lambda: next(now))
    clock = Clock(torch.device("cpu"))
    steps = clock.steps(BATCHES[:2])
    next(steps)  # the first step: from 0 to 9, a second of it waiting for data
    clock.mark("student")
    next(steps)  # from 10 to 14: a second of data, one of the teacher, two of the student
    assert clock.per_second == 0.0
    clock.mark("teacher")
    clock.mark("student")
    assert next(steps, None) is None
    facts = clock.facts()
    assert facts["first_step_s"] == 9.0
    assert facts["time_shares"] == {"data": 0.25, "teacher": 0.25, "student": 0.5}
    assert facts["samples_per_s"] == 2.0


def test_speed_is_examples_by_the_time_of_steps():
    clock = Clock(torch.device("cpu"))
    began = time.perf_counter()
    for _ in clock.steps(BATCHES):
        clock.mark("student")
    spent = time.perf_counter() - began
    assert clock.per_second >= 16 / spent
    assert clock.examples == 16


def test_a_peak_before_it_does_not_count():
    held = torch.ones(2**26)  # 256 MiB
    del held
    clock = Clock(torch.device("cpu"))
    before = clock.facts()["peak_memory_mib"]
    held = torch.ones(2**26)
    assert clock.facts()["peak_memory_mib"] - before > 200
    del held
