"""Doing what a plan says, and leaving what people look for where they find it."""

import importlib.metadata
import os
import shlex
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgekd.core.artifact import Manifest, digest_file, digest_json
from edgekd.core.errors import EdgekdError, RunInterruptedError, StageError
from edgekd.core.protocols import Origin
from edgekd.pipeline.code import package_digest
from edgekd.pipeline.document import read_text
from edgekd.pipeline.events import (
    Listener,
    RunDone,
    RunStarted,
    StageDone,
    StageFailed,
    StageKept,
    StageProgress,
    StageStarted,
)
from edgekd.pipeline.kept import read_json, write_json
from edgekd.pipeline.machine import this_machine
from edgekd.pipeline.plan import Plan, Step, ancestors, make_plan
from edgekd.pipeline.records import Record, RunFolders
from edgekd.pipeline.resolved import Request, Resolved
from edgekd.pipeline.store import Store, list_files
from edgekd.pipeline.targets import find_targets
from edgekd.pipeline.workshop import Workshop

PROGRAM_DESCRIPTION = "program.json"
SHAPING = ("torch", "numpy", "onnx", "onnxruntime", "executorch", "torchao", "transformers")


@dataclass(frozen=True)
class Settings:
    """Where a run keeps things."""

    store: Path
    runs: Path


@dataclass(frozen=True)
class RunResult:
    """What a run came to."""

    exit_code: int
    """0 where every gate is kept, else 1."""
    folder: Path
    """Where the report and the artifacts are."""
    report: Path | None
    artifacts: Sequence[Path]
    gates: Sequence[Mapping[str, Any]]
    """One row per gate, program and target, with its verdict."""
    facts: Mapping[str, Mapping[str, Any]]
    """What each stage found out."""
    ran: Sequence[str]
    """The stages that were not kept."""


def plan_pipeline(request: Request, settings: Settings, until: str | None = None) -> Plan:
    """Return what a run would do; RequestError holds every problem of the file."""
    store = Store(settings.store)
    store.prepare()
    with Workshop(_log(store)) as workshop:
        return make_plan(resolved(request, store, workshop), store, until)


def run_pipeline(
    request: Request, settings: Settings, listener: Listener, until: str | None = None
) -> RunResult:
    """Run what is not kept yet and return what came of it.

    RequestError before anything runs where the request is wrong; StageError where a stage fails;
    RunInterruptedError after Ctrl-C, with every finished stage kept.
    """
    began, started_at = time.monotonic(), _now()
    store, runs = Store(settings.store), RunFolders(settings.runs)
    store.prepare()
    runs.prepare()
    log = _log(store)
    with Workshop(log) as workshop:
        plan = make_plan(resolved(request, store, workshop), store, until)
        names = [step.stage.name for step in plan.steps]
        listener(
            RunStarted(plan.resolved.name, plan.resolved.device, str(store.root), names, str(log))
        )
        execution = _Execution(plan, store, workshop, listener, _origin(plan, started_at))
        manifests = {step.stage.name: execution.make(step) for step in plan.steps}
    result = _finish(plan, manifests, store, runs)
    listener(
        RunDone(
            exit_code=result.exit_code,
            folder=str(result.folder),
            report=str(result.report) if result.report else None,
            artifacts=[str(path) for path in result.artifacts],
            gates=result.gates,
            ran=result.ran,
            seconds=time.monotonic() - began,
        )
    )
    return result


def resolved(request: Request, store: Store, workshop: Workshop) -> Resolved:
    """Return the resolved pipeline: as kept, where nothing that it was read from changed."""
    key = digest_json(
        {
            "request": asdict(request),
            "text": read_text(Path(request.file)),
            "package": package_digest(),
            "libraries": {name: importlib.metadata.version(name) for name in SHAPING},
            "plug-ins": _entry_points(),
            "gpu": [Path("/dev/nvidiactl").exists(), os.environ.get("CUDA_VISIBLE_DEVICES", "")],
        }
    )
    file = store.root / "plans" / f"{key[:20]}.json"
    kept = read_json(file)
    if kept is not None:
        found = Resolved.from_dict(kept)
        nearest_targets = find_targets(Path(request.file).parent)
        moved = [n for n, at in found.target_files.items() if str(nearest_targets.get(n)) != at]
        if not moved and all(_is(path, digest) for path, digest in found.depends.items()):
            return found
    fresh = workshop.resolve(request)
    write_json(file, fresh.as_dict())
    return fresh


def _entry_points() -> list[list[str]]:
    """Return the plug-ins of other packages: a new one can change what a name means."""
    points = importlib.metadata.entry_points()
    groups = sorted(group for group in points.groups if group.startswith("edgekd."))
    found = [point for group in groups for point in points.select(group=group)]
    return [[p.group, p.name, p.value, p.dist.version if p.dist else ""] for p in found]


def _is(path: str, digest: str) -> bool:
    try:
        return digest_file(Path(path)) == digest
    except OSError:
        return False


def _log(store: Store) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return store.root / "logs" / f"{stamp}-{os.getpid()}.log"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class _Execution:
    """A plan that is being carried out."""

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
                _refuse_altered(name, manifest, self.store)
                self.sound.add(manifest.key)

    def _run(self, step: Step) -> Manifest:
        """Have the worker make a stage's result, and commit it."""
        stage, started_at = step.stage, _now()
        self._check_inputs(step)
        with self.store.filling(step.key) as out:
            answer = self.workshop.ask(
                self._request(step, out),
                lambda p: self.listener(
                    StageProgress(stage.name, p["done"], p["total"], p["what"], p["numbers"])
                ),
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
        return manifest

    def _request(self, step: Step, out: Path) -> dict[str, Any]:
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


def _origin(plan: Plan, started_at: str) -> Origin:
    """Return what was asked, for the report of the run."""
    request = plan.resolved.request
    words = ["edgekd", "run", os.path.relpath(request.file)]
    words += [word for assignment in request.sets for word in ("--set", assignment)]
    words += [word for target in request.targets for word in ("--target", target)]
    return Origin(
        name=plan.resolved.name,
        file=request.file,
        text=plan.resolved.text,
        sets=tuple(request.sets),
        command=shlex.join(words),
        started_at=started_at,
    )


def _finish(
    plan: Plan, manifests: Mapping[str, Manifest], store: Store, runs: RunFolders
) -> RunResult:
    """Leave programs and reports in the run's folder, with a record of the run."""
    gates = [row for m in manifests.values() for row in m.facts.get("gates", ())]
    failed = sum(int(m.facts.get("gates_failed", 0)) for m in manifests.values())
    record = Record(
        name=plan.resolved.name,
        file=plan.resolved.request.file,
        command=_origin(plan, "").command,
        finished_at=_now(),
        exit_code=1 if failed else 0,
        keys={step.stage.name: step.key for step in plan.steps},
        results={n: _result(m) for n, m in manifests.items()},
        gates=gates,
    )
    folder = runs.of(record)
    implied = {step.stage.name for step in plan.steps if step.stage.implied_by}
    reports = [name for name, manifest in manifests.items() if manifest.makes == "report"]
    left: list[Path] = []
    for name, manifest in manifests.items():
        if manifest.makes not in ("program", "report") or name in implied:
            continue
        _refuse_altered(name, manifest, store)
        inner = name if manifest.makes == "report" and len(reports) > 1 else "."
        left += [
            _copy(store.folder(manifest.key) / file, folder / inner / file, about["sha256"])
            for file, about in manifest.files.items()
            if file != PROGRAM_DESCRIPTION
        ]
    artifacts = [path for path in left if path.suffix in (".onnx", ".pte")]
    report = next((path for path in left if path.name == "report.html"), None)
    runs.write(record, folder)
    facts = {name: manifest.facts for name, manifest in manifests.items()}
    ran = [step.stage.name for step in plan.to_run]
    return RunResult(record.exit_code, folder, report, artifacts, gates, facts, ran)


def _result(manifest: Manifest) -> Any:
    return {key: manifest.facts.get(key) for key in ("says", "result", "measure")}


def _refuse_altered(stage: str, manifest: Manifest, store: Store) -> None:
    """Raise StageError where a kept result is not what was committed, and take it out."""
    altered = store.altered(manifest)
    if altered:
        folder = store.folder(manifest.key)
        store.discard(manifest)
        raise StageError(
            f"the kept result of {stage} was altered: {', '.join(altered)} in {folder}.",
            "It was taken out of the store. Run again: the stage is made anew.",
        )


def _copy(source: Path, target: Path, sha256: str) -> Path:
    """Copy a file unless it is there; the store's own files are never handed out."""
    if not target.is_file() or digest_file(target) != sha256:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return target
