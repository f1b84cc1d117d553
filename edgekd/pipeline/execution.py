"""A plan that is being carried out, stage by stage."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgekd.core.artifact import Manifest
from edgekd.core.errors import EdgekdError, RunInterruptedError, StageError
from edgekd.core.protocols import Origin
from edgekd.core.trouble import named_trouble
from edgekd.pipeline.events import (
    Listener,
    StageDone,
    StageFailed,
    StageKept,
    StageNotice,
    StageProgress,
    StageStarted,
    StageWaits,
)
from edgekd.pipeline.machine import this_machine
from edgekd.pipeline.plan import Plan, Planner, Step, ancestors
from edgekd.pipeline.resolved import ResolvedStage
from edgekd.pipeline.store import Store, list_files
from edgekd.pipeline.workshop import Workshop


def now() -> str:
    """Return the time, ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Execution:
    """A plan with all that carrying it out takes."""

    plan: Plan
    planner: Planner
    store: Store
    workshop: Workshop
    listener: Listener
    origin: Origin
    made: dict[str, Manifest] = field(default_factory=dict)
    """What each stage came to, in the order of the plan."""
    ran: list[str] = field(default_factory=list)
    """The stages whose results were made now."""

    def all(self) -> Mapping[str, Manifest]:
        """Make or take every stage's result, in order."""
        for step in self.plan.steps:
            name = step.stage.name
            try:
                with named_trouble():
                    self._settle(step.stage)
            except (KeyboardInterrupt, RunInterruptedError) as error:
                raise RunInterruptedError(
                    f"Interrupted in stage {name}. {error}".rstrip()
                    + "\n  The stages before it are kept: run the same command again to go on."
                ) from None
            except EdgekdError as error:
                self.listener(StageFailed(name, str(error)))
                raise
        return self.made

    def _settle(self, stage: ResolvedStage) -> None:
        """Take the result of a stage as kept, or make it; what is there counts at its turn."""
        step = self._look(stage)
        while step.action == "run":
            with self.store.locked(step.work, lambda: self.listener(StageWaits(stage.name))):
                before, step = step, self._look(stage)  # another run may have made it meanwhile
                if step.action == "run" and step.work == before.work:
                    self._make(step)
                    return
        assert step.kept is not None
        self.made[stage.name] = step.kept
        self.store.remember(self.plan.resolved.name, stage.name, step.key)
        self.listener(StageKept(stage.name, step.key, step.kept.facts, step.kept.started_at))

    def _look(self, stage: ResolvedStage) -> Step:
        return self.planner.step(stage, self.made.get)

    def _make(self, step: Step) -> None:
        """Make a stage's result while its lock is held."""
        name = step.stage.name
        self.listener(StageStarted(name, step.key, step.reasons))
        made = self.made[name] = self._run(step)
        self.ran.append(name)
        self.store.remember(self.plan.resolved.name, name, step.key)
        self.listener(StageDone(name, step.key, made.seconds, made.cpu_seconds, made.facts))
        if self.workshop.stopping:  # asked for while the last step of this stage was under way
            raise RunInterruptedError("It was finished first, and is kept.")

    def _run(self, step: Step) -> Manifest:
        """Have the worker make a stage's result, and commit it."""
        stage, started_at = step.stage, now()
        for name in ancestors(stage, self.plan):
            self.store.refuse_altered(name, self.made[name])
        unfinished = self.store.unfinished(step.work)
        if stage.judges and self.planner.remeasure:
            shutil.rmtree(unfinished)
            unfinished.mkdir()
        with self.store.filling(step.work) as out:
            answer = self.workshop.ask(
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
                host=this_machine(),
            )
            self.store.commit(manifest, out)
        if not stage.judges:  # else what was found serves the next judgement too
            shutil.rmtree(unfinished, ignore_errors=True)
        return manifest

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
            self.listener(StageNotice(stage, message["message"]))
        else:
            numbers = {key: message[key] for key in ("done", "total", "what", "numbers")}
            self.listener(StageProgress(stage, **numbers))

    def _request(self, step: Step, out: Path, unfinished: Path) -> dict[str, Any]:
        """Return what the worker must know to make a stage's result."""
        stage, pipeline = step.stage, self.plan.resolved
        above = ancestors(stage, self.plan)
        folders = {n: str(self.store.folder(m.key)) for n, m in self.made.items()}
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
            "task": pipeline.task,
            "plugins": pipeline.plugins,
            "beside": str(Path(pipeline.request.file).parent),
            "inputs": {name: folders[name] for name in stage.inputs},
            "ancestors": {name: folder for name, folder in folders.items() if name in above},
            "members": {s.name: asdict(s.member) for s in pipeline.stages if s.member},
            "origin": asdict(self.origin),
            "targets": stage.targets,
            "needs": stage.needs,
            "data": step.identity["files"],
            "stops": stage.stops,
        }
