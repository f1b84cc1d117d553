"""What a step of a method costs over one of plain distillation: both in turns, in one process.

Each stage of a run that trains is begun once more, by the stage itself, in a thread of its own.
A stage asks after every step whether the run is to end; there it is held until its next turn, so
one thread works at a time and what the machine does besides falls on all of them alike.
"""

import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import torch

from edgekd.core import kinds
from edgekd.core.checkpoint import Checkpoint
from edgekd.core.errors import RunInterruptedError
from edgekd.core.protocols.task import Task
from edgekd.core.refs import Ref, UseTask, as_read
from edgekd.pipeline.graph import read_instead
from edgekd.pipeline.outcome import RunResult
from edgekd.pipeline.resolved import ResolvedStage
from edgekd.testing.runs import ExampleRun

WARM, ROUNDS, STEPS = 20, 9, 20
NEVER = Checkpoint(every_s=1e9)
ENDLESS = 10**6
"""Epochs: a training must not be over while its steps are counted."""


@dataclass
class _Run(ExampleRun):
    """A stage's run on what an earlier run of the pipeline made."""

    folders: Mapping[str, Path] = field(default_factory=dict)
    instead: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def input(self, ref: Ref) -> Path:
        """Return the folder of another stage's result, or of what stands between."""
        return self.folders[read_instead(ref, self.instead)]


class Learner:
    """A stage that trains, and is held after each of its steps that ends a turn."""

    def __init__(self, stage: ResolvedStage, made: RunResult, task: Task, folder: Path):
        self._stage, self._error = stage, None
        self._go, self._held = threading.Semaphore(0), threading.Semaphore(0)
        self._ends, self._left, self._epochs = False, 0, 0
        self._began = self._spent = 0.0
        self._run = _Run(
            folder, task, stage.name, stage.seed, made.resolved.device, NEVER, self._after_step,
            folders=made.folders, instead=stage.instead,
        )  # fmt: skip
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def take(self, steps: int) -> float:
        """Return the CPU seconds of so many steps; scoring between epochs does not count."""
        self._left, self._spent = steps, 0.0
        self._go.release()
        self._held.acquire()
        if self._error is not None:
            raise self._error
        return self._spent

    def end(self) -> None:
        """Let it go."""
        self._ends = True
        self._go.release()
        self._thread.join()

    def _work(self) -> None:
        plugin = kinds.stage.get(self._stage.kind)
        options = as_read(self._stage.options)
        options["train"] |= {"epochs": ENDLESS, "patience": None}
        self._go.acquire()
        try:
            self._began = time.process_time()
            with suppress(RunInterruptedError):
                plugin.build(plugin.config.model_validate(options))(self._run)
        except Exception as error:  # it is raised where the turn was given
            self._error = error
        self._held.release()

    def _after_step(self) -> bool:
        now, ended = time.process_time(), len(self._run.epochs) > self._epochs
        self._epochs = len(self._run.epochs)
        if not ended:  # else it was asked after the scoring of an epoch, and no step
            self._spent += now - self._began
            self._left -= 1
        if self._left == 0:
            self._held.release()
            self._go.acquire()
        self._began = time.process_time()
        return self._ends


def step_costs(made: RunResult, stages: Sequence[str], base: str) -> dict[str, dict[str, float]]:
    """Return what a step of each stage costs as a ratio to one of `base`.

    Each is the median over rounds, with the least and the largest; `stages` do not include `base`.
    """
    torch.set_num_threads(made.resolved.threads)
    found = {stage.name: stage for stage in made.resolved.stages}
    task = UseTask.model_validate(as_read(made.resolved.task)).build()
    with tempfile.TemporaryDirectory() as folder:
        learners = {
            name: Learner(found[name], made, task, Path(folder)) for name in (base, *stages)
        }
        for learner in learners.values():
            learner.take(WARM)
        rounds = [_in_turns(learners) for _ in range(ROUNDS)]
        for learner in learners.values():
            learner.end()
    ratios = {name: [taken[name] / taken[base] for taken in rounds] for name in stages}
    return {
        name: {"median": median(values), "least": min(values), "most": max(values)}
        for name, values in ratios.items()
    }


def _in_turns(learners: Mapping[str, Learner]) -> dict[str, float]:
    """Return CPU seconds by stage, in turns A B C, C B A."""
    taken = dict.fromkeys(learners, 0.0)
    for name in [*learners, *reversed(learners)]:
        taken[name] += learners[name].take(STEPS)
    return taken
