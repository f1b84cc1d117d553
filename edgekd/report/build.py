"""Make the report document of a run's evidence."""

import platform
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from edgekd.core.artifact import Manifest
from edgekd.core.quantity import Quantity, significant
from edgekd.core.results import MeasuredTarget, Measurement
from edgekd.report.changes import Change, changes
from edgekd.report.evidence import Evidence, History, Validation
from edgekd.report.schema import (
    Check,
    Epoch,
    Machine,
    Provenance,
    Report,
    Row,
    StageRecord,
    Step,
    Training,
)
from edgekd.report.summary import size_of, summarise
from edgekd.report.timing import timing
from edgekd.report.trade_off import QUALITY, trade_off


def build_report(evidence: Evidence) -> Report:
    """Return the document; the same evidence gives the same document."""
    checks = [_check(evidence, validation) for validation in evidence.validations]
    marks = {machine.name: machine.marks for check in checks for machine in check.machines}
    return Report(
        name=evidence.origin.name,
        headline=summarise([v.measurements for v in evidence.validations], marks),
        checks=checks,
        training=[_training(name, history) for name, history in evidence.histories.items()],
        provenance=_provenance(evidence),
    )


def _check(evidence: Evidence, validation: Validation) -> Check:
    found = validation.measurements
    measured = {
        target.name: {
            m.program: m.quantities for m in found.measurements if m.target == target.name
        }
        for target in found.targets
    }
    pictures = [
        trade_off(name, of, [g for g in found.gates if g.target == name], found.reference)
        for name, of in measured.items()
    ]
    said = changes(found)
    return Check(
        stage=validation.stage,
        reference=found.reference,
        split=found.split,
        examples=found.examples,
        quality_name=QUALITY,
        machines=[_machine(evidence, validation, target) for target in found.targets],
        steps=[
            Step(
                program=p.name,
                role=p.role,
                runtime=p.runtime,
                precision=p.precision,
                parameters=p.parameters,
                file=p.file,
                digest=p.digest,
                size=size_of(p),
            )
            for p in found.programs
        ],
        rows=[_row(validation, m, said) for m in found.measurements],
        gates=found.gates,
        trade_offs=[picture for picture in pictures if picture],
    )


def _row(
    validation: Validation, measurement: Measurement, said: Mapping[tuple[str, str], Change]
) -> Row:
    place = (measurement.program, measurement.target)
    change = said.get(place)
    found = [q for q in validation.measurements.quality if (q.program, q.target) == place]
    return Row(
        program=measurement.program,
        target=measurement.target,
        quantities=measurement.quantities,
        valid=measurement.valid,
        notes=measurement.notes,
        change=change.words if change else "",
        gained=change is None or change.gained,
        timing=timing(measurement, validation.samples.get(measurement.samples, [])),
        reliability=found[0].reliability if found else [],
        per_class=found[0].per_class if found else {},
    )


def _machine(evidence: Evidence, validation: Validation, target: MeasuredTarget) -> Machine:
    host = dict(validation.manifest.host)
    marks = ["emulated"] if target.emulated else []
    if _kept(validation.manifest, evidence.origin.started_at):
        marks.append("kept from an earlier run")
    if any(host.get(name, here) != here for name, here in evidence.host.items()):
        marks.append("taken from another machine")
    return Machine(
        name=target.name,
        description=target.description,
        emulated=target.emulated,
        facts=target.machine,
        measured_at=target.measured_at,
        measured_by=host,
        marks=marks,
    )


def _kept(manifest: Manifest, run_started_at: str) -> bool:
    """Tell whether a stage began before the run did, so that its result was kept."""
    if not run_started_at:
        return False
    return datetime.fromisoformat(manifest.started_at) < datetime.fromisoformat(run_started_at)


def _training(stage: str, history: History) -> Training:
    return Training(
        stage=stage,
        monitor=history.monitor,
        best_epoch=history.best_epoch,
        epochs=[Epoch(**epoch.model_dump()) for epoch in history.epochs],
    )


def _provenance(evidence: Evidence) -> Provenance:
    origin = evidence.origin
    return Provenance(
        pipeline=origin.text,
        file=origin.file,
        sets=list(origin.sets),
        command=origin.command,
        versions=_versions(("edgekd", "numpy", "matplotlib", "jinja2")),
        stages=[_stage(manifest, origin.started_at) for manifest in evidence.stages.values()],
    )


def _stage(manifest: Manifest, run_started_at: str) -> StageRecord:
    seed = manifest.identity.get("seed")
    return StageRecord(
        name=manifest.stage,
        kind=manifest.kind,
        key=manifest.key,
        inputs=dict(manifest.inputs),
        says=str(manifest.facts.get("says", "")),
        result=_result(manifest.facts.get("result", "")),
        seconds=manifest.seconds,
        cpu_seconds=manifest.cpu_seconds,
        started_at=manifest.started_at,
        host=dict(manifest.host),
        kept=_kept(manifest, run_started_at),
        seed=seed if isinstance(seed, int) else None,
        identity=dict(manifest.identity),
    )


def _result(fact: Any) -> str:
    """Return a stage's one number that matters as text."""
    if isinstance(fact, Mapping) and {"value", "unit"} <= {*fact}:
        return str(Quantity(**fact))
    return significant(fact) if isinstance(fact, float) else str(fact)


def _versions(distributions: Sequence[str]) -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a checkout that is not installed
            continue
    return found
