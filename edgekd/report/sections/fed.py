"""What was run without a task: the files, what went into them, and which of two is faster."""

from edgekd.report.outcome import faster
from edgekd.report.schema.check import Check
from edgekd.report.schema.report import Report
from edgekd.report.sections.parts import Part, Section
from edgekd.report.tables import Table, number_cell, quantity_cell, row_at, row_of

TURNS = (
    "Both programs were measured in turns, in fresh processes that run side by side, A B then B A. "
    "The ratio is of medians, restarts paired; faster or slower is said where its whole 95 % "
    "interval lies on one side of 1."
)


def fed(report: Report) -> Section | None:
    """Return the comparison, the files and the inputs; None where a task said what goes in."""
    checks = [check for check in report.checks if not check.examples]
    if not checks:
        return None
    parts = [Part("Comparison", lines=[TURNS], tables=[compared_table(check)])
             for check in checks if check.reference]  # fmt: skip
    parts += [Part("Files and inputs", tables=[files_table(check), inputs_table(check)])
              for check in checks]  # fmt: skip
    return Section("run", "What was run", parts=parts)


def compared_table(check: Check) -> Table:
    """Return, per target, both medians, their ratio and what it shows."""
    rows = []
    for machine in check.machines:
        other = row_at(check, check.reference, machine.name)
        for step in check.steps:
            row = row_at(check, step.program, machine.name)
            if row is None or other is None or step.role == "reference":
                continue
            sound = row.valid and other.valid
            rows.append(
                row_of(
                    machine.name,
                    number_cell(row.quantities, "latency_p50_ms"),
                    number_cell(other.quantities, "latency_p50_ms"),
                    quantity_cell(row.quantities, "speedup"),
                    faster(row.quantities.get("speedup")) if sound else "not valid",
                )
            )
    names = [step.program for step in check.steps if step.role != "reference"]
    head = ("Target", *(f"{name} p50, ms" for name in (*names, check.reference)))
    return Table("Comparison", (*head, "Speed-up", "Shown"), rows, (0, 4))


def files_table(check: Check) -> Table:
    """Return the model files."""
    rows = [
        row_of(
            step.program, step.runtime, number_cell({"size": step.size}, "size"), step.digest[:16]
        )
        for step in check.steps
    ]
    head = ("File", "Runtime", "Size, MiB", "SHA-256, first 16 digits")
    return Table("Files", head, rows, (0, 1, 3))


def inputs_table(check: Check) -> Table:
    """Return what went into each input of each program."""
    rows = [
        row_of(
            each.program,
            each.name,
            f"{each.dtype} [{', '.join(map(str, each.shape))}]",
            str(each.calls),
            each.origin,
        )
        for each in check.inputs
    ]
    head = ("File", "Input", "Shape of a call", "Different calls", "Values")
    return Table("Inputs", head, rows, (0, 1, 2, 4))
