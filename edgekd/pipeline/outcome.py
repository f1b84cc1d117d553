"""What a run came to: leaving programs, reports and a record where people find them."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekd.core.artifact import Manifest, digest_file
from edgekd.core.errors import EdgekdError
from edgekd.pipeline.execution import Execution, failures, now
from edgekd.pipeline.kept import replacing
from edgekd.pipeline.records import Record, RunFolders
from edgekd.pipeline.resolved import Resolved

NOT_HANDED_OUT = ("program.json", "candidates.json")
"""What describes a program to edgekd, and how it was measured when it was chosen."""


@dataclass(frozen=True)
class RunResult:
    """What a run came to."""

    exit_code: int
    """0 where every gate is kept and nothing failed; else 1, or that of the first that failed."""
    folder: Path
    """Where the report and the artifacts are."""
    report: Path | None
    artifacts: Sequence[Path]
    gates: Sequence[Mapping[str, Any]]
    """One row per gate, program and target, with its verdict."""
    facts: Mapping[str, Mapping[str, Any]]
    """What each stage found out."""
    comparisons: Sequence[Mapping[str, Any]]
    """Seeds, controls and trials of each stage that has some, as in the report's JSON."""
    failed: Mapping[str, str]
    """Why stages have no result; each is one of several, and did not end the others."""
    ran: Sequence[str]
    """The stages that were not kept."""
    resolved: Resolved
    """The pipeline, as it was planned."""
    manifests: Mapping[str, Manifest]
    """What each stage committed, in the order of the run."""
    folders: Mapping[str, Path]
    """Where each stage's files lie in the store."""


def leave(execution: Execution, runs: RunFolders) -> RunResult:
    """Leave programs and reports in the run's folder, with a record of the run."""
    plan, store, manifests = execution.plan, execution.store, execution.results()
    gates = [row for m in manifests.values() for row in m.facts.get("gates", ())]
    failed = sum(
        int(m.facts.get("gates_failed", 0)) + len(m.facts.get("failures", ()))
        for m in manifests.values()
    )
    record = Record(
        name=plan.resolved.name,
        file=plan.resolved.request.file,
        command=execution.origin.command,
        finished_at=now(),
        exit_code=_exit_code(execution.failed) or (1 if failed else 0),
        keys={name: manifest.key for name, manifest in manifests.items()},
        contents={name: manifest.content for name, manifest in manifests.items()},
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
        store.refuse_altered(name, manifest)
        inner = name if manifest.makes == "report" and len(reports) > 1 else "."
        left += [
            _copy(store.folder(manifest.key) / file, folder / inner / file, about["sha256"])
            for file, about in manifest.files.items()
            if file not in NOT_HANDED_OUT
        ]
    artifacts = [path for path in left if path.suffix in (".onnx", ".ort", ".pte")]
    report = next((path for path in left if path.name == "report.html"), None)
    runs.write(record, folder)
    facts = {name: manifest.facts for name, manifest in manifests.items()}
    return RunResult(
        exit_code=record.exit_code,
        folder=folder,
        report=report,
        artifacts=artifacts,
        gates=gates,
        comparisons=_compared(execution, manifests),
        failed={name: str(error) for name, error in execution.failed.items()},
        facts=facts,
        ran=execution.ran,
        resolved=plan.resolved,
        manifests=manifests,
        folders={name: store.folder(manifest.key) for name, manifest in manifests.items()},
    )


def _exit_code(failed: Mapping[str, EdgekdError]) -> int:
    return next((error.exit_code for error in failed.values()), 0)


def _compared(execution: Execution, manifests: Mapping[str, Manifest]) -> list[dict[str, Any]]:
    members = execution.origin.members
    if not members:
        return []
    from edgekd.report.comparison import comparisons  # and numpy, which most runs do without

    found = comparisons(manifests, members, failures(execution.failed))
    return [one.model_dump() for one in found]


def _result(manifest: Manifest) -> Any:
    return {key: manifest.facts.get(key) for key in ("says", "result", "measure")}


def _copy(source: Path, target: Path, sha256: str) -> Path:
    """Copy a file in one step unless it is there; the store's own files are never handed out."""
    if not target.is_file() or digest_file(target) != sha256:
        with replacing(target) as part:
            shutil.copyfile(source, part)
    return target
