"""Make the report document of a run's evidence."""

from collections.abc import Mapping

from edgekd.core.artifact import Manifest
from edgekd.core.results import MeasuredProgram, MeasuredTarget, Measurement
from edgekd.report.changes import Change, changes
from edgekd.report.choices import choices
from edgekd.report.comparison import comparisons
from edgekd.report.evidence import Evidence, History, Validation
from edgekd.report.left_out import left_out
from edgekd.report.lineage import Lineage, lineage
from edgekd.report.long_runs import long_run
from edgekd.report.operators import operator_times
from edgekd.report.provenance import earlier, kept, provenance
from edgekd.report.quantized import quantized
from edgekd.report.schema.check import Check, Machine, Row, Step
from edgekd.report.schema.load import Throughput
from edgekd.report.schema.provenance import FailedStage
from edgekd.report.schema.report import Report
from edgekd.report.schema.training import Epoch, Training, TrainingCost
from edgekd.report.selections import selections
from edgekd.report.sensitivity import sensitivity
from edgekd.report.summary import size_of, summarise
from edgekd.report.timing import timing
from edgekd.report.trade_off import trade_off
from edgekd.report.words import quality_of


def build_report(evidence: Evidence) -> Report:
    """Return the document; the same evidence gives the same document."""
    checks = [_check(evidence, validation) for validation in evidence.validations]
    members = evidence.origin.members
    marks = {machine.name: machine.marks for check in checks for machine in check.machines}
    return Report(
        name=evidence.origin.name,
        headline=summarise(
            [(v.measurements, allows_inconclusive(v)) for v in evidence.validations], marks
        ),
        checks=checks,
        failed=[FailedStage(stage=n, why=why) for n, why in evidence.origin.failed.items()],
        comparisons=comparisons(evidence.stages, members, evidence.origin.failed),
        choices=list(choices(evidence)),
        selections=list(selections(evidence.stages)),
        training=[
            _training(name, history, evidence.stages[name])
            for name, history in evidence.histories.items()
            if name not in members or members[name].arm == name
        ],
        sensitivity=list(sensitivity(evidence.stages)),
        provenance=provenance(evidence),
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
    descent = lineage(found, validation.manifest, evidence.stages)
    said = changes(found, descent.before)
    shown = sorted(found.programs, key=lambda program: program.name in descent.controls)
    order = [program.name for program in shown]
    return Check(
        stage=validation.stage,
        reference=found.reference,
        split=found.split,
        examples=found.examples,
        quality_name=quality_of(m.quantities for m in found.measurements),
        machines=[_machine(evidence, validation, target) for target in found.targets],
        steps=[_step(program, descent) for program in shown],
        rows=[
            _row(validation, m, said)
            for m in sorted(found.measurements, key=lambda m: order.index(m.program))
        ],
        quantized=list(quantized(validation, descent.parents, evidence.stages)),
        left_out=list(left_out(found.programs, evidence.stages)),
        operators=[
            operator_times(m) for m in found.measurements if m.profile and m.profile.operators
        ],
        throughput=[
            Throughput(program=m.program, target=m.target, rates=m.throughput)
            for m in found.measurements
            if m.throughput
        ],
        long_runs=[long_run(m) for m in found.measurements if m.sustained and m.sustained.windows],
        gates=found.gates,
        inconclusive_allowed=allows_inconclusive(validation),
        trade_offs=[picture for picture in pictures if picture],
        preparing=found.preparing,
        inputs=found.inputs,
    )


def allows_inconclusive(validation: Validation) -> bool:
    """Tell whether the stage counted only failed gates against the contract."""
    verdicts = [gate.verdict for gate in validation.measurements.gates]
    counted = validation.manifest.facts.get("gates_failed")
    return "inconclusive" in verdicts and counted == verdicts.count("fail")


def _step(program: MeasuredProgram, descent: Lineage) -> Step:
    return Step(
        program=program.name,
        role=program.role,
        control=program.name in descent.controls,
        before=None if program.role == "reference" else descent.before[program.name] or None,
        runtime=program.runtime,
        precision=program.precision,
        parameters=program.parameters,
        file=program.file,
        digest=program.digest,
        size=size_of(program),
    )


def _row(
    validation: Validation, measurement: Measurement, said: Mapping[tuple[str, str], Change]
) -> Row:
    place = (measurement.program, measurement.target)
    change = said.get(place)
    samples = validation.samples.get(measurement.samples, [])
    targets = validation.measurements.targets
    watts = next(one.watts_per_core for one in targets if one.name == measurement.target)
    found = [q for q in validation.measurements.quality if (q.program, q.target) == place]
    return Row(
        program=measurement.program,
        target=measurement.target,
        quantities=measurement.quantities,
        valid=measurement.valid,
        notes=measurement.notes,
        failure=measurement.failure,
        change=change.words if change else "",
        gained=change is None or change.gained,
        timing=timing(measurement, samples, watts),
        reliability=found[0].reliability if found else [],
        per_class=found[0].per_class if found else {},
        right=found[0].right if found else "",
    )


def _machine(evidence: Evidence, validation: Validation, target: MeasuredTarget) -> Machine:
    host = dict(validation.manifest.host)
    marks = ["emulated"] if target.emulated else []
    started = evidence.origin.started_at
    before = [earlier(time, started) for time in target.sittings]
    if kept(validation.manifest, started) or (before and all(before)):
        marks.append("kept from an earlier run")
    elif any(before):
        marks.append("partly measured in an earlier run")
    if any(host.get(name, here) != here for name, here in evidence.host.items()):
        marks.append("taken from another machine")
    return Machine(
        name=target.name,
        description=target.description,
        emulated=target.emulated,
        facts=target.machine,
        measured_at=target.measured_at,
        sittings=target.sittings,
        watts_per_core=target.watts_per_core,
        measured_by=host,
        marks=marks,
    )


def _training(stage: str, history: History, manifest: Manifest) -> Training:
    cost = manifest.facts.get("training")
    return Training(
        stage=stage,
        monitor=history.monitor,
        best_epoch=history.best_epoch,
        epochs=[Epoch(**epoch.model_dump()) for epoch in history.epochs],
        cost=TrainingCost(**cost) if cost else None,
    )
