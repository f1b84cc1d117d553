"""Provenance: where it all comes from and how to do it again."""

import json

from edgekd.core.quantity import significant
from edgekd.report.schema.check import Machine
from edgekd.report.schema.provenance import Provenance
from edgekd.report.schema.report import Report
from edgekd.report.sections.parts import Part, Section, moment
from edgekd.report.tables import (
    Cell,
    Table,
    row_of,
)


def provenance(report: Report) -> Section:
    """Return the command, the stages, the machines, the versions and the pipeline itself."""
    of = report.provenance
    parts = [
        Part("Repeat the run", command=of.command),
        Part("Stages", tables=[stages_table(report)], folded=_configurations(of)),
        *(
            Part(f"Target {machine.name}", facts=_machine_facts(machine))
            for check in report.checks
            for machine in check.machines
        ),
        Part("Versions of the report's tools", facts=of.versions),
        *([_pipeline(of)] if of.pipeline else []),
    ]
    return Section("provenance", "Provenance", parts=parts)


def _pipeline(of: Provenance) -> Part:
    folded = {f"{of.file or 'the file'}, as written": of.pipeline}
    return Part("Pipeline", lines=[_said(of)], folded=folded)


def _said(of: Provenance) -> str:
    return (
        f"Set on the command line: {'; '.join(of.sets)}."
        if of.sets
        else "As written, nothing set on the command line."
    )


def _configurations(of: Provenance) -> dict[str, str]:
    """Return all that the stages' keys were made of: options, versions, digests, seeds."""
    resolved = {stage.name: stage.identity for stage in of.stages}
    return {"What each key was made of": json.dumps(resolved, indent=1, sort_keys=True)}


def _machine_facts(machine: Machine) -> dict[str, str]:
    """Return what is known of a target, where its numbers were taken and when."""
    by = ", ".join(machine.measured_by[k] for k in ("cpu", "system") if k in machine.measured_by)
    return {
        "description": machine.description,
        **machine.facts,
        "measured": moment(machine.measured_at),
        **({"driven by": by} if by else {}),
        **({"mind": "; ".join(machine.marks)} if machine.marks else {}),
    }


def stages_table(report: Report) -> Table:
    """Return every stage with what it made, what it cost and its key."""
    rows = [
        row_of(
            stage.name,
            stage.kind,
            ", ".join(part for part in (stage.says, stage.result) if part),
            Cell(significant(stage.seconds) + " s", None, "kept" if stage.kept else ""),
            significant(stage.cpu_seconds) + " s",
            ", ".join(stage.inputs) or "none",
            stage.key[:16],
        )
        for stage in report.provenance.stages
    ]
    head = ("Stage", "Kind", "Result", "Time", "CPU time", "Inputs", "Key")
    return Table("What it rests on, in order", head, rows, (0, 1, 2, 5, 6))
