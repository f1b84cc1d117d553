"""One benchmark from the command to the folder with its report."""

import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edgekd.bench.asked import Asked
from edgekd.bench.command import command
from edgekd.bench.measured import Prepared, measure, prepare
from edgekd.core.artifact import Manifest, digest_file, digest_json
from edgekd.core.protocols.stage import Ancestor, Origin
from edgekd.core.results import Measurements
from edgekd.pipeline.machine import this_machine
from edgekd.pipeline.records import Record, RunFolders
from edgekd.report.build import build_report
from edgekd.report.evidence import MEASUREMENTS, Evidence, read_evidence
from edgekd.report.schema.report import Report
from edgekd.report.write import here, write_report
from edgekd.runtimes.folder import file_stem
from edgekd.trial.on_target import Progress

STAGE = "bench"


@dataclass(frozen=True)
class Benchmark:
    """What a benchmark came to."""

    folder: Path
    """Report, measurements and raw samples."""
    report: Report
    exit_code: int
    """0; 1 where a gate is not kept, or a model or a target failed; 3 where one was not reached."""


def bench(asked: Asked, runs: RunFolders, progress: Progress) -> Benchmark:
    """Measure and leave everything in a folder of its own below that of the runs."""
    runs.prepare()
    prepared = prepare(asked)
    began, clock, cpu = datetime.now(UTC), time.monotonic(), os.times()
    with tempfile.TemporaryDirectory(prefix="edgekd-bench-") as made:
        work, out = Path(made), Path(made) / "out"
        out.mkdir()
        found = measure(prepared, work, out, progress)
        (out / MEASUREMENTS).write_text(found.model_dump_json(indent=1) + "\n", "utf-8")
        spent = time.monotonic() - clock, sum(os.times()[:4]) - sum(cpu[:4])
        manifest = _manifest(asked, found, out, began, spent)
        report = build_report(_evidence(prepared, manifest, out, began))
        write_report(report, out)
        code = exit_code(found, prepared)
        folder = _leave(runs, _record(asked, found, manifest, code), out)
    return Benchmark(folder, report, code)


def exit_code(found: Measurements, prepared: Prepared) -> int:
    """Return what the command ends with."""
    lost = [error.exit_code for error in prepared.failed.values()]
    if lost:
        return max(lost)
    kept = all(gate.verdict == "pass" for gate in found.gates)
    return 0 if kept and not found.failures() else 1


def _manifest(
    asked: Asked, found: Measurements, out: Path, began: datetime, spent: tuple[float, float]
) -> Manifest:
    """Return what a stage would say of itself: which files it made, of what, when and where."""
    files = {
        str(path.relative_to(out)): {"sha256": digest_file(path), "size": path.stat().st_size}
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }
    identity = {"command": command(asked)}
    identity |= {program.name: program.digest for program in found.programs}
    says = f"{len(found.programs)} model files on {', '.join(t.name for t in found.targets)}"
    return Manifest(
        key=digest_json(identity)[:16],
        stage=STAGE,
        kind=STAGE,
        makes="measurements",
        identity=identity,
        inputs={},
        facts={"says": says.replace("1 model files", "1 model file")},
        files=files,
        started_at=began.isoformat(),
        seconds=spent[0],
        cpu_seconds=spent[1],
        host=this_machine(),
    )


def _evidence(prepared: Prepared, manifest: Manifest, out: Path, began: datetime) -> Evidence:
    """Return what the report rests on, read as that of any run."""
    asked = prepared.asked
    failed = {name: str(error) for name, error in prepared.failed.items()}
    name = f"bench of {prepared.entries[-1].name}"
    origin = Origin(name, "", "", (), command(asked), began.isoformat(), failed=failed)
    return read_evidence(origin, {STAGE: Ancestor(out, manifest)}, [STAGE], here())


def _record(asked: Asked, found: Measurements, manifest: Manifest, code: int) -> Record:
    gates = [
        gate.model_dump(include={"name", "target", "program", "limit", "verdict", "reason"})
        | {"measured": str(gate.measured) if gate.measured else None}
        for gate in found.gates
    ]
    return Record(
        name=f"bench-{file_stem(asked.model.stem)}",
        file=str(asked.model),
        command=command(asked),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        exit_code=code,
        keys={},
        contents={STAGE: manifest.content},
        results={STAGE: {"says": manifest.facts["says"], "result": None, "measure": None}},
        gates=gates,
    )


def _leave(runs: RunFolders, record: Record, out: Path) -> Path:
    folder = runs.of(record)
    shutil.copytree(out, folder, dirs_exist_ok=True)
    runs.write(record, folder)
    return folder
