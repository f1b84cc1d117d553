"""A plan that is being carried out, stage by stage."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from edgekd.core.artifact import Manifest
from edgekd.core.errors import EdgekdError, RunInterruptedError, StageError
from edgekd.core.protocols.stage import Origin
from edgekd.core.trouble import named_trouble
from edgekd.pipeline.events import (
    Event,
    Listener,
    StageDone,
    StageEpoch,
    StageFailed,
    StageKept,
    StageLeftOut,
    StageNotice,
    StageProgress,
    StageStarted,
    StageWaits,
)
from edgekd.pipeline.plan import Plan, Planner, Step, ancestors
from edgekd.pipeline.remains import remains
from edgekd.pipeline.resolved import ResolvedStage
from edgekd.pipeline.store import Store, list_files
from edgekd.pipeline.workshop import Workshop


def now() -> str:
    """Return the time, ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def failures(found: Mapping[str, EdgekdError]) -> dict[str, str]:
    """Return why stages failed, without what only the user of this very run can look up."""
    return {n: e.message if isinstance(e, StageError) else str(e) for n, e in found.items()}


@dataclass(frozen=True)
class Execution:
    """A plan with all that carrying it out takes."""

    plan: Plan
    planner: Planner
    store: Store
    listener: Listener
    origin: Origin
    made: dict[str, Manifest] = field(default_factory=dict)
    """What each stage came to."""
    ran: list[str] = field(default_factory=list)
    """The stages whose results were made now."""
    failed: dict[str, EdgekdError] = field(default_factory=dict)
    """Why stages have no result: each is one of several, and does not end the others."""
    rehearse: Mapping[str, int] | None = None
    """How many examples of each split the stages are shown, where they are rehearsed."""
    _telling: Lock = field(default_factory=Lock)

    def in_turn(self, workshop: Workshop) -> None:
        """Make or take every stage's result, in order."""
        for step in self.plan.steps:
            try:
                self.settle(step.stage, workshop)
            except (KeyboardInterrupt, RunInterruptedError) as error:
                raise RunInterruptedError(
                    f"Interrupted in stage {step.stage.name}. {error}".rstrip()
                    + "\n  The stages before it are kept: run the same command again to go on."
                ) from None

    def settle(self, planned: ResolvedStage, workshop: Workshop) -> None:
        """Take a stage's result or make it; where it is one of several, its failure is noted.

        EdgekdError where any other stage fails.
        """
        name = planned.name
        stage = remains(planned, self.failed)
        if stage is None:
            lacking = ", ".join(one for one in planned.inputs if one in self.failed)
            self.failed[name] = StageError(f"it rests on what failed: {lacking}.")
            self.tell(StageLeftOut(name, str(self.failed[name])))
            return
        try:
            with named_trouble():
                self._take_or_make(stage, workshop)
        except RunInterruptedError:
            raise
        except EdgekdError as error:
            self.tell(StageFailed(name, str(error)))
            if stage.member is None:
                raise
            self.failed[name] = error

    def tell(self, event: Event) -> None:
        """Tell the listener, one event after the other."""
        with self._telling:
            self.listener(event)

    def _take_or_make(self, stage: ResolvedStage, workshop: Workshop) -> None:
        """Take the result of a stage as kept, or make it; what is there counts at its turn."""
        step = self._look(stage)
        while step.action == "run":
            with self.store.locked(step.work, self._waits(stage.name, workshop)):
                before, step = step, self._look(stage)  # another may have made it meanwhile
                if step.action == "run" and step.work == before.work:
                    self._make(step, workshop)
                    return
        assert step.kept is not None
        self.made[stage.name] = step.kept
        self.store.remember(self.plan.resolved.name, stage.name, step.key)
        self.tell(StageKept(stage.name, step.key, step.kept.facts, step.kept.started_at))

    def _waits(self, name: str, workshop: Workshop) -> Callable[[], None]:
        """Return what is done while another makes the result: say it once, end when asked to."""
        told = False

        def wait() -> None:
            nonlocal told
            if workshop.stopping:
                raise RunInterruptedError("")
            if not told:
                self.tell(StageWaits(name))
            told = True

        return wait

    def _look(self, stage: ResolvedStage) -> Step:
        return self.planner.step(stage, self.made.get)

    def _make(self, step: Step, workshop: Workshop) -> None:
        """Make a stage's result while its lock is held."""
        name = step.stage.name
        self.tell(StageStarted(name, step.key, step.reasons))
        made = self.made[name] = self._run(step, workshop)
        self.ran.append(name)
        self.store.remember(self.plan.resolved.name, name, step.key)
        self.tell(StageDone(name, step.key, made.seconds, made.cpu_seconds, made.facts))
        if workshop.stopping:  # asked for while the last step of this stage was under way
            raise RunInterruptedError("It was finished first, and is kept.")

    def _run(self, step: Step, workshop: Workshop) -> Manifest:
        """Have the worker make a stage's result, and commit it."""
        stage, started_at = step.stage, now()
        for name in ancestors(stage, self.plan) & self.made.keys():
            self.store.refuse_altered(name, self.made[name])
        unfinished = self.store.unfinished(step.work)
        if stage.judges and self.planner.remeasure:
            shutil.rmtree(unfinished)
            unfinished.mkdir()
        with self.store.filling(step.work) as out:
            answer = workshop.ask(
                self._request(step, out, unfinished),
                lambda message: self._hear(stage.name, message),
            )
            self._refuse_changed(step)
            manifest = Manifest(
                key=step.key,
                stage=stage.name,
                kind=stage.kind,
                makes=stage.makes,
                identity=step.identity,
                inputs={name: self.made[name].content for name in stage.inputs},
                facts=answer["facts"],
                files=list_files(out),
                started_at=started_at,
                seconds=round(answer["seconds"], 3),
                cpu_seconds=round(answer["cpu_seconds"], 3),
                host=answer["host"],
            )
            self.store.commit(manifest, out)
        if not stage.judges:  # else what was found serves the next judgement too
            shutil.rmtree(unfinished, ignore_errors=True)
        return manifest

    def results(self) -> dict[str, Manifest]:
        """Return what each stage came to so far, in the order of the plan."""
        made = dict(self.made)  # another thread may add to it now
        return {s.stage.name: made[s.stage.name] for s in self.plan.steps if s.stage.name in made}

    def _refuse_changed(self, step: Step) -> None:
        """Raise StageError where data changed while the stage read it: its key says other data."""
        before, after = step.identity["files"], self.planner.files(step.stage)
        changed = [name for name, digest in before.items() if after.get(name) != digest]
        if changed:
            names = ", ".join(name.partition(":")[2] for name in changed)
            raise StageError(
                f"{names} changed while the stage was at work.", "Run again when it is at rest."
            )

    def _hear(self, stage: str, message: dict[str, Any]) -> None:
        """Pass on what the worker says while a stage runs."""
        if message["answer"] == "notice":
            self.tell(StageNotice(stage, message["message"]))
        elif message["answer"] == "epoch":
            self.tell(StageEpoch(stage, message["entry"]))
        else:
            numbers = {key: message[key] for key in ("done", "total", "what", "numbers")}
            self.tell(StageProgress(stage, **numbers))

    def _request(self, step: Step, out: Path, unfinished: Path) -> dict[str, Any]:
        """Return what the worker must know to make a stage's result."""
        stage, pipeline = step.stage, self.plan.resolved
        above = ancestors(stage, self.plan)
        folders = {n: str(self.store.folder(m.key)) for n, m in self.results().items()}
        origin = replace(self.origin, failed=failures(self.failed))
        return {
            "do": "stage",
            "name": stage.name,
            "kind": stage.kind,
            "options": stage.options,
            "out": str(out),
            "unfinished": str(unfinished),
            "checkpoint": pipeline.checkpoint,
            "seed": stage.seed,
            "device": pipeline.device,
            "threads": pipeline.threads,
            "processes": pipeline.request.processes if stage.shared else 1,
            "task": stage.task or pipeline.task,
            "plugins": pipeline.plugins,
            "beside": str(Path(pipeline.request.file).parent),
            "inputs": {name: folders[name] for name in stage.inputs},
            "instead": stage.instead,
            "ancestors": {name: folder for name, folder in folders.items() if name in above},
            "origin": asdict(origin),
            "targets": stage.targets,
            "needs": stage.needs,
            "rehearse": self.rehearse,
            "data": step.identity["files"],
            "stops": stage.stops,
        }
