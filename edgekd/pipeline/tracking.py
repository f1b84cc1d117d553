"""A run's events, told to the trackers that the pipeline file asks for.

What is tracked shapes no result, and a tracker that fails ends no run: it is named once.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edgekd.core.errors import EdgekdError, RunInterruptedError
from edgekd.core.protocols.stage import Origin
from edgekd.core.version import VERSION
from edgekd.pipeline.events import (
    Event,
    Listener,
    RunDone,
    RunNotice,
    StageDone,
    StageEpoch,
    StageFailed,
    StageKept,
    StageLeftOut,
    StageProgress,
    StageStarted,
)
from edgekd.pipeline.plan import Plan
from edgekd.pipeline.resolved import Resolved
from edgekd.pipeline.store import Store
from edgekd.track.mlflow import MlflowRuns
from edgekd.track.numbers import of_epoch, of_facts, texts
from edgekd.track.options import Track, address
from edgekd.track.tensorboard import TensorBoard
from edgekd.track.tracker import RUN, State, Tracker
from edgekd.track.writing import Writing

SECONDS_TO_FINISH = 60.0
SECONDS_TO_LEAVE = 5.0
"""What trackers get to take the rest, where the run is done and where it was ended."""
TOLD_PER_EPOCH = ("score",)
REPORTS = ("report.html", "report.json", "report.md", "report.xml")


@contextmanager
def tracked(plan: Plan, origin: Origin, store: Store, listener: Listener) -> Iterator[Listener]:
    """Yield a listener that also tells what it hears to the trackers of the pipeline."""
    writings = _writings(plan.resolved)
    if not writings:
        yield listener
        return
    tracking = _Tracking(plan, store, listener, writings)
    tracking.begin(origin)
    try:
        yield tracking
    except BaseException as error:
        ended = isinstance(error, KeyboardInterrupt | RunInterruptedError)
        tracking.leave("interrupted" if ended else "failed")
        raise


def _writings(resolved: Resolved) -> list[Writing]:
    """Return what writes for each tracker; each starts at once, beside the run."""
    track, beside = Track.model_validate(resolved.track), Path(resolved.request.file).parent
    name, at = resolved.name, time.time()
    makers: dict[str, Callable[[], Tracker]] = {}
    if track.tensorboard is not None:
        makers["tensorboard"] = partial(TensorBoard, Path(track.tensorboard), name, at)
    if track.mlflow is not None:
        uri, experiment = address(track.mlflow, beside), track.mlflow.experiment or name
        makers["mlflow"] = partial(MlflowRuns, uri, experiment, name)
    return [Writing(tracker, make) for tracker, make in makers.items()]


class _Tracking:
    """A listener before another: tells trackers what happens, then passes it on."""

    def __init__(self, plan: Plan, store: Store, listener: Listener, writings: Sequence[Writing]):
        self.stages = {step.stage.name: step.stage for step in plan.steps}
        self.resolved, self.store = plan.resolved, store
        self.listener, self.writings = listener, writings
        self.open: set[str] = set()

    def __call__(self, event: Event) -> None:
        try:
            self._hear(event, time.time())
        except EdgekdError:  # the run was asked to end, just here
            raise
        except Exception as error:  # our own mistake, too, ends no run
            for writing in self.writings:
                writing.give_up(error)
        self._notice()
        self.listener(event)

    def begin(self, origin: Origin) -> None:
        """Open the place of the whole run."""
        about = {"command": origin.command, "file": origin.file, "edgekd": VERSION}
        settings = {name: getattr(self.resolved, name) for name in ("device", "threads", "task")}
        at = time.time()
        self._tell(lambda t: t.begin(RUN, texts(settings), at))
        self._tell(lambda t: t.words(RUN, "run", about, at))

    def leave(self, state: State) -> None:
        """Close everything after a run that came to no end."""
        at = time.time()
        for stage in [*self.open]:
            self._end(stage, "interrupted", at)
        self._tell(lambda t: t.end(RUN, state, at))
        self._finish(SECONDS_TO_LEAVE)

    def _hear(self, event: Event, at: float) -> None:
        match event:
            case StageStarted(stage):
                self._begin(stage, at, {"why": "; ".join(event.reasons)})
            case StageProgress() | StageEpoch():
                self._train(event, at)
            case StageKept() | StageDone() | StageFailed() | StageLeftOut():
                self._settle(event, at)
            case RunDone():
                self._done(event, at)

    def _train(self, event: StageProgress | StageEpoch, at: float) -> None:
        """Tell the numbers of a step or of an epoch."""
        if isinstance(event, StageEpoch):
            self._numbers(event.stage, of_epoch(event.entry), event.entry["epoch"], at)
            return
        found = {_step(n): v for n, v in event.numbers.items() if n not in TOLD_PER_EPOCH}
        self._numbers(event.stage, found, event.done, at)
        if event.what == "resumed":
            words = {"resumed": f"after step {event.done} of {event.total}"}
            self._words(event.stage, words, at)

    def _settle(self, event: StageKept | StageDone | StageFailed | StageLeftOut, at: float) -> None:
        """Tell what a stage came to, and close its place."""
        match event:
            case StageKept():
                self._keep(event)
            case StageDone():
                self._facts(event.stage, event.facts, at)
                self._end(event.stage, "done", at)
            case StageFailed() | StageLeftOut():
                if event.stage not in self.open:
                    self._begin(event.stage, at, {})
                self._words(event.stage, {"error": event.message}, at)
                state: State = "failed" if isinstance(event, StageFailed) else "left out"
                self._end(event.stage, state, at)

    def _begin(self, stage: str, at: float, about: dict[str, str]) -> None:
        """Open the place of a stage, with its options and what it is to others."""
        resolved, member = self.stages[stage], self.stages[stage].member
        settings = {"kind": resolved.kind, "seed": resolved.seed} | dict(resolved.options)
        if member is not None:
            about |= {"of": member.group, "arm": member.arm, "setting": member.setting}
        self.open.add(stage)
        self._tell(lambda t: t.begin(stage, texts(settings), at))
        self._words(stage, {name: text for name, text in about.items() if text}, at)

    def _keep(self, event: StageKept) -> None:
        """Tell what an earlier run made, as of then."""
        at = datetime.fromisoformat(event.made_at).timestamp()
        self._begin(event.stage, at, {"kept": f"made at {event.made_at}"})
        for entry in _epochs(self.store.folder(event.key)):
            self._numbers(event.stage, of_epoch(entry), entry["epoch"], at)
        self._facts(event.stage, event.facts, at)
        self._end(event.stage, "kept", at)

    def _facts(self, stage: str, facts: Any, at: float) -> None:
        self._numbers(stage, of_facts(facts), 0, at)
        rows = texts({name: value for name, value in facts.items() if name != "gates"})
        self._tell(lambda t: t.words(stage, "facts", rows, at))

    def _done(self, event: RunDone, at: float) -> None:
        """Tell what the run came to, and wait until it is written."""
        gates = {f"{g['name']}/{g['program']}/{g['target']}": g for g in event.gates}
        measured = {f"gates/{name}": gate["measured"] for name, gate in gates.items()}
        found = {n.removeprefix("facts/"): v for n, v in of_facts(measured).items()}
        rows = {name: _judged(gate) for name, gate in gates.items()}
        self._numbers(RUN, found, 0, at)
        self._tell(lambda t: t.words(RUN, "gates", rows, at))
        self._words(RUN, {"exit_code": str(event.exit_code)}, at)
        folder = Path(event.report).parent if event.report else None
        for path in [folder / name for name in REPORTS] if folder else ():
            if path.is_file():
                self._tell(lambda t, path=path: t.file(path))  # type: ignore[misc]
        self._tell(lambda t: t.end(RUN, "done", at))
        self._finish(SECONDS_TO_FINISH)

    def _numbers(self, stage: str, values: dict[str, float], step: int, at: float) -> None:
        if values:
            self._tell(lambda t: t.numbers(stage, values, step, at))

    def _words(self, stage: str, rows: dict[str, str], at: float) -> None:
        if rows:
            self._tell(lambda t: t.words(stage, "run" if stage == RUN else "stage", rows, at))

    def _end(self, stage: str, state: State, at: float) -> None:
        self.open.discard(stage)
        self._tell(lambda t: t.end(stage, state, at))

    def _tell(self, call: Callable[[Tracker], None]) -> None:
        for writing in self.writings:
            writing.tell(call)

    def _finish(self, within_s: float) -> None:
        until = time.monotonic() + within_s
        for writing in self.writings:
            writing.finish(max(0.0, until - time.monotonic()))
        self._notice()

    def _notice(self) -> None:
        """Name a tracker that failed since the last event."""
        for writing in self.writings:
            if reason := writing.failure():
                goes_on = "The run goes on, but nothing more of it is told there."
                self.listener(RunNotice(f"track.{writing.name}: {reason}. {goes_on}"))


def _step(name: str) -> str:
    return name if "/" in name else f"step/{name}"


def _judged(gate: Any) -> str:
    """Return a gate's limit, what was measured, and the verdict."""
    measured = texts(gate["measured"]).get("", "") if gate["measured"] is not None else "nothing"
    return f"{gate['limit']}, measured {measured}: {gate['verdict']}"


def _epochs(folder: Path) -> list[dict[str, Any]]:
    """Return the epochs of a kept training; none where the result is none."""
    from edgekd.report.evidence import HISTORY, History

    try:
        text = (folder / HISTORY).read_text("utf-8")
        return [epoch.model_dump() for epoch in History.model_validate_json(text).epochs]
    except (OSError, ValidationError):
        return []
