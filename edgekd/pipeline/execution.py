"""A plan that is being carried out, stage by stage."""

import shutil
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgekd.core.artifact import Manifest
from edgekd.core.errors import EdgekdError, RunInterruptedError
from edgekd.core.protocols import Origin
from edgekd.pipeline.events import (
    Listener,
    StageDone,
    StageFailed,
    StageKept,
    StageNotice,
    StageProgress,
    StageStarted,
)
from edgekd.pipeline.machine import this_machine
from edgekd.pipeline.plan import Plan, Step, ancestors
from edgekd.pipeline.store import Store, list_files
from edgekd.pipeline.workshop import Workshop


def now() -> str:
    """Return the time, ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Execution:
    """A plan with all that carrying it out takes."""

    plan: Plan
    store: Store
    workshop: Workshop
    listener: Listener
    origin: Origin
    sound: set[str] = field(default_factory=set)
    """Keys of results whose files were read and found as they were committed."""

    def make(self, step: Step) -> Manifest:
        """Return the stage's manifest: the kept one, or that of a result made now."""
        name = step.stage.name
        try:
            with self.store.lock(step.key):
                kept = step.kept or self.store.find(step.key)  # another run may have made it
                if kept is not None:
                    self.listener(StageKept(name, step.key, kept.facts, kept.started_at))
                    return kept
                self.listener(StageStarted(name, step.key, step.reasons))
                made = self._run(step)
        except (KeyboardInterrupt, RunInterruptedError):
            raise RunInterruptedError(
                f"Interrupted in stage {name}; the stages before it are kept."
            ) from None
        except EdgekdError as error:
            self.listener(StageFailed(name, str(error)))
            raise
        self.store.remember(self.plan.resolved.name, name, step.key)
        self.listener(StageDone(name, step.key, made.seconds, made.cpu_seconds, made.facts))
        return made

    def _check_inputs(self, step: Step) -> None:
        """Refuse to build on a kept result that was altered since; it is taken out."""
        for name in ancestors(step.stage, self.plan):
            manifest = self.store.find(self.plan.step(name).key)
            if manifest is not None and manifest.key not in self.sound:
                self.store.refuse_altered(name, manifest)
                self.sound.add(manifest.key)

    def _run(self, step: Step) -> Manifest:
        """Have the worker make a stage's result, and commit it."""
        stage, started_at = step.stage, now()
        self._check_inputs(step)
        unfinished = self.store.unfinished(step.key)
        with self.store.filling(step.key) as out:
            answer = self.workshop.ask(
                self._request(step, out, unfinished),
                lambda message: self._hear(stage.name, message),
            )
            manifest = Manifest(
                key=step.key,
                stage=stage.name,
                kind=stage.kind,
                makes=stage.makes,
                identity=step.identity,
                inputs={name: self.plan.step(name).key for name in stage.inputs},
                facts=answer["facts"],
                files=list_files(out),
                started_at=started_at,
                seconds=round(answer["seconds"], 3),
                cpu_seconds=round(answer["cpu_seconds"], 3),
                host=this_machine(),
            )
            self.store.commit(manifest, out)
        shutil.rmtree(unfinished, ignore_errors=True)
        return manifest

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
        folders = {s.stage.name: str(self.store.folder(s.key)) for s in self.plan.steps}
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
            "origin": asdict(self.origin),
            "targets": stage.targets,
        }
