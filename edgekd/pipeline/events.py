"""What happens in a run, one value per happening, one JSON line each."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, TypeAlias


@dataclass(frozen=True)
class Event:
    """Something that happened."""

    event: ClassVar[str]

    def line(self) -> str:
        """Return the event as one line of JSON."""
        return json.dumps({"event": self.event} | asdict(self), ensure_ascii=False)


@dataclass(frozen=True)
class RunStarted(Event):
    """A run begins."""

    event: ClassVar[str] = "run_started"
    name: str
    device: str
    store: str
    stages: Sequence[str]
    log: str


@dataclass(frozen=True)
class StageKept(Event):
    """A stage's result is there already."""

    event: ClassVar[str] = "stage_kept"
    stage: str
    key: str
    facts: Mapping[str, Any]
    made_at: str


@dataclass(frozen=True)
class StageStarted(Event):
    """A stage begins."""

    event: ClassVar[str] = "stage_started"
    stage: str
    key: str
    reasons: Sequence[str]


@dataclass(frozen=True)
class StageWaits(Event):
    """Another run makes this stage's result just now; it is waited for."""

    event: ClassVar[str] = "stage_waits"
    stage: str


@dataclass(frozen=True)
class RunStopping(Event):
    """The run was asked to end."""

    event: ClassVar[str] = "run_stopping"
    after_step: bool
    """Whether it waits for the training step under way, to write its state down."""


@dataclass(frozen=True)
class StageProgress(Event):
    """A stage is so far."""

    event: ClassVar[str] = "stage_progress"
    stage: str
    done: int
    total: int
    what: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    """Those with a `/` in their name are for trackers, not for the terminal."""


@dataclass(frozen=True)
class StageEpoch(Event):
    """A training is over an epoch; one that is resumed tells the epochs before, too."""

    event: ClassVar[str] = "stage_epoch"
    stage: str
    entry: Mapping[str, Any]
    """The epoch as `history.json` has it."""


@dataclass(frozen=True)
class RunNotice(Event):
    """Something beside the stages went wrong; the run goes on, and its results are the same."""

    event: ClassVar[str] = "run_notice"
    message: str


@dataclass(frozen=True)
class StageNotice(Event):
    """Something about a stage is likely a mistake; it goes on."""

    event: ClassVar[str] = "stage_notice"
    stage: str
    message: str


@dataclass(frozen=True)
class StageDone(Event):
    """A stage's result is committed."""

    event: ClassVar[str] = "stage_done"
    stage: str
    key: str
    seconds: float
    cpu_seconds: float
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class StageFailed(Event):
    """A stage ended without a result."""

    event: ClassVar[str] = "stage_failed"
    stage: str
    message: str


@dataclass(frozen=True)
class StageLeftOut(Event):
    """A stage could not be made, since something that it reads failed."""

    event: ClassVar[str] = "stage_left_out"
    stage: str
    message: str


@dataclass(frozen=True)
class RunDone(Event):
    """A run ended with every stage done, but for members of groups that failed."""

    event: ClassVar[str] = "run_done"
    exit_code: int
    folder: str
    report: str | None
    artifacts: Sequence[str]
    gates: Sequence[Mapping[str, Any]]
    ran: Sequence[str]
    seconds: float
    comparisons: Sequence[Mapping[str, Any]] = ()
    """Seeds, controls and trials of each stage that has some."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Why stages have no result; each is one of several, and did not end the others."""


Listener: TypeAlias = Callable[[Event], None]
