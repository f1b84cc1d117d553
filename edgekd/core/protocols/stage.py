"""What a stage may use, before a run and in it.

A stage takes `(options, run)` and returns facts. It registers with what it `makes` and, where
something can be told before it runs, a `check(options, preview)` that yields problems with paths
relative to the stage, an `estimate(options, preview)` that returns what it `Needs`,
`remarks(options, preview)` that yields what a plan shall say of it, and `implies(options, preview)`
that yields stages to stand between it and one that it reads (`core.refs.Implied`). One that is
worth comparing registers `controls(options)`: what it must beat, options by name; those of which
`across(options, preview)` yields a problem are left out. One that trains, or in which quality
decides, registers `rehearse(options, run)`: what it is asked of weights that are not trained
(`core.rehearsal`). One that times programs registers `measures=True`, or a function of its options
that tells: its result belongs to the machine. One with `shared=True` is called in every process of
the run (`edgekd run --nproc`); `parallel.group` says which one this is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from edgekd.core.artifact import Manifest
from edgekd.core.checkpoint import Checkpoint
from edgekd.core.config import Config
from edgekd.core.member import Member
from edgekd.core.needs import Hands
from edgekd.core.protocols.task import Task
from edgekd.core.refs import Ref, UseModel, UseTransform


@dataclass(frozen=True)
class Origin:
    """The request that a run answers, for its report."""

    name: str
    file: str
    text: str
    """The pipeline file as written."""
    sets: Sequence[str]
    """Overrides of the command line, `path=value`."""
    command: str
    """What repeats the run."""
    started_at: str = ""
    """ISO 8601, UTC: results older than this were kept from an earlier run."""
    members: Mapping[str, Member] = field(default_factory=dict)
    """The stages that were made from one of the file with others, in the pipeline's order."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Why stages of these have no result."""


@dataclass(frozen=True)
class Ancestor:
    """A stage that this one depends on, directly or not."""

    folder: Path
    manifest: Manifest


@runtime_checkable
class Preview(Protocol):
    """What a stage's `check` may look at before anything runs."""

    @property
    def task(self) -> Task:
        """The task, whose data may not have been read yet."""

    def task_of(self, ref: Ref) -> Task:
        """Return the task of the stage that a reference leads to, which may have one of its own."""

    @property
    def targets(self) -> Mapping[str, Mapping[str, Any]]:
        """The target files that stages name, as read."""

    @property
    def hands(self) -> Hands:
        """The processes that work together on a stage that is shared."""

    def model(self, ref: Ref) -> UseModel | None:
        """Return the definition of the model that a stage will make, where it is known."""

    def options(self, ref: Ref) -> Config | None:
        """Return the options of the stage that a reference leads to, where they are known."""

    def runtime(self, ref: Ref) -> str | None:
        """Return the runtime of the program that a reference leads to, where it is known."""

    def makes(self, ref: Ref) -> str | None:
        """Return the kind of result that a reference leads to, where its stage is known."""

    def kind(self, ref: Ref) -> str | None:
        """Return the kind of the stage that a reference leads to, where it is known."""

    def transform(self, ref: Ref) -> UseTransform | None:
        """Return the transform of the stage that a reference leads to, where it has one."""


@runtime_checkable
class Run(Protocol):
    """What a stage may use: its folders, its chance, its device. Nothing else of the run."""

    name: str
    """The stage's name in the file."""
    out: Path
    """The empty folder to fill."""
    seed: int
    device: str
    """`cpu` or `cuda`, for `torch.device`."""
    task: Task
    ancestors: Mapping[str, Ancestor]
    """All results that this one rests on, by stage name, in the order of the pipeline."""
    origin: Origin
    targets: Mapping[str, Mapping[str, Any]]
    """The target files that the stage names, as read."""
    unfinished: Path
    """A folder for what an interrupted run of this very stage should not do twice: checkpoints,
    measurements taken so far. It outlives the run; what a stage finds there it made itself, from
    the same options, inputs and code, but perhaps only half. Gone once the result is there."""
    checkpoint: Checkpoint
    """How often to write there."""

    def stop_asked(self) -> bool:
        """Tell whether the user or the system asked the run to end.

        A stage that registers with `stops=True` asks after every step, writes down its state and
        raises RunInterruptedError. Any other stage is interrupted where it stands.
        """

    def notice(self, message: str) -> None:
        """Tell the user something that is likely a mistake but lets the stage go on."""

    def input(self, ref: Ref) -> Path:
        """Return the folder of another stage's result."""

    def progress(self, done: int, total: int, what: str, **numbers: float) -> None:
        """Say how far the stage is; few of many calls are passed on.

        `numbers` are shown beside the bar, but for those with a `/` in their name: they are for
        trackers alone, as are `step/loss` and `step/terms/kd`.
        """

    def epoch(self, entry: Mapping[str, Any]) -> None:
        """Tell what an epoch of a training came to, as its history has it; all are passed on."""
