"""Stages at the same time: what waits for what, and how it ends."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from threading import Event as Flag
from threading import Lock
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.core.errors import RunInterruptedError, StageError
from edgekd.pipeline.together import Together

from .conftest import TINY

SEEDS = TINY.replace("    teacher: $teacher\n", "    seeds: 3\n    teacher: $teacher\n")


@dataclass
class Shop:
    """A workshop without a worker."""

    asked_to_end: Flag = field(default_factory=Flag)

    def start(self):
        pass

    def stop(self):
        self.asked_to_end.set()

    kill = stop


@dataclass
class Recorded:
    """An execution that only notes what runs beside what."""

    stages: list
    act: object = lambda stage, shop: time.sleep(0.001)
    running: set = field(default_factory=set)
    beside: dict = field(default_factory=dict)
    done: list = field(default_factory=list)
    told: list = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    @property
    def plan(self):
        return SimpleNamespace(steps=[SimpleNamespace(stage=stage) for stage in self.stages])

    def tell(self, event):
        self.told.append(event.event)

    def settle(self, stage, shop):
        with self.lock:
            assert {*stage.inputs} <= {*self.done}
            self.running.add(stage.name)
            for name in self.running:
                self.beside.setdefault(name, set()).update(self.running)
        try:
            self.act(stage, shop)
        finally:
            with self.lock:
                self.running.remove(stage.name)
        self.done.append(stage.name)


def a_stage(name, inputs=(), makes="model"):
    measures = makes == "measurements"
    return SimpleNamespace(
        name=name, inputs=tuple(inputs), makes=makes, measures=measures, stops=True
    )


@st.composite
def graphs(draw):
    makes = draw(st.lists(st.sampled_from(["model", "measurements"]), min_size=1, max_size=7))
    stages = []
    for number, kind in enumerate(makes):
        above = [stage.name for stage in stages]
        inputs = draw(st.sets(st.sampled_from(above))) if above else ()
        stages.append(a_stage(str(number), inputs, kind))
    return stages


@settings(max_examples=30)
@given(graphs(), st.integers(1, 3))
def test_inputs_come_first_nothing_runs_beside_a_measurement_and_no_more_than_asked(stages, jobs):
    recorded = Recorded(stages)
    Together(recorded, [Shop() for _ in range(jobs)]).all()
    assert sorted(recorded.done) == [stage.name for stage in stages]
    for stage in stages:
        beside = recorded.beside[stage.name] - {stage.name}
        assert not beside or not stage.measures


def test_independent_stages_do_run_at_the_same_time():
    both = {"a": Flag(), "b": Flag()}

    def meet(stage, shop):
        both[stage.name].set()
        assert all(flag.wait(5) for flag in both.values())

    Together(Recorded([a_stage("a"), a_stage("b")], meet), [Shop(), Shop()]).all()


def test_a_failed_stage_asks_the_others_to_end_and_starts_no_more():
    def act(stage, shop):
        if stage.name == "bad":
            raise StageError("training diverged.")
        if not shop.asked_to_end.wait(5):
            raise AssertionError("nobody asked")
        raise RunInterruptedError("")

    recorded = Recorded([a_stage("long"), a_stage("bad"), a_stage("later", ["long"])], act)
    with pytest.raises(StageError, match="training diverged"):
        Together(recorded, [Shop(), Shop()]).all()
    assert recorded.done == []
    assert "later" not in recorded.beside


def test_being_asked_to_end_ends_all_and_names_them():
    def act(stage, shop):
        if stage.name == "b":
            os.kill(os.getpid(), signal.SIGINT)
        assert shop.asked_to_end.wait(5)
        raise RunInterruptedError("")

    recorded = Recorded([a_stage("a"), a_stage("b"), a_stage("c", ["a"])], act)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(RunInterruptedError, match=r"Interrupted in a, b\."):
            Together(recorded, [Shop(), Shop()]).all()
    finally:
        signal.signal(signal.SIGINT, before)
    assert recorded.told == ["run_stopping"]


def test_the_results_are_those_of_one_after_the_other(tiny, tmp_path):
    events = []
    alone = tiny(SEEDS, store=tmp_path / "alone")
    both = tiny(SEEDS, store=tmp_path / "both", jobs=2, listener=events.append)
    assert {n: m.content for n, m in alone.manifests.items()} == {
        n: m.content for n, m in both.manifests.items()
    }
    assert [*both.manifests] == [*alone.manifests]
    most = at_work = 0
    for event in events:
        at_work += (event.event == "stage_started") - (event.event == "stage_done")
        most = max(most, at_work)
    assert most == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_workers_and_the_same_command_goes_on(tiny, tmp_path, number):
    long = SEEDS.replace("epochs: 2", "epochs: 3000")
    (tmp_path / "tiny.yaml").write_text(long)
    command = [sys.executable, "-m", "edgekd", "run", "tiny.yaml", "--jobs", "2", "--json"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        progressed = set()
        for line in run.stdout:
            if '"stage_progress"' in line and '"student' in line:
                progressed.add(line.partition('"stage": ')[2].partition(",")[0])
            if len(progressed) == 2:
                break
        run.send_signal(number)
        rest, said = run.communicate(timeout=60)
    assert run.returncode == 130, said
    assert "Interrupted in student, student.seed-1." in said
    assert "run_stopping" in rest
    assert len([*(tmp_path / ".edgekd" / "unfinished").iterdir()]) == 2, "their state is kept"
    assert not [*(tmp_path / ".edgekd" / "tmp").iterdir()]
