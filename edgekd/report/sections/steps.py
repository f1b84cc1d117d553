"""Step by step: what became of quality, size and latency."""

from collections.abc import Iterator

from edgekd.report.schema.check import Check
from edgekd.report.schema.report import Report
from edgekd.report.sections.left_out import left_out_table
from edgekd.report.sections.parts import Figure, Part, Section, titled
from edgekd.report.sections.quantized import quantized_lines, quantized_table
from edgekd.report.tables import (
    Table,
    care_of,
    happened,
    number_cell,
    program_cell,
    quantity_cell,
    row_at,
    row_of,
)
from edgekd.report.words import label, scores_of

_COMPARED = "what the others are compared with"


def steps(report: Report) -> Section | None:
    """Return a figure and its table per target; None where no example was scored."""
    if not any(check.examples for check in report.checks):
        return None
    return Section("steps", "Step by step", parts=list(_parts(report)))


def _parts(report: Report) -> Iterator[Part]:
    for check, machine, title in titled(report):
        if not any(row.target == machine.name for row in check.rows):
            yield Part(title, lines=["Nothing was measured here."])
            continue

        def draw(name: str, width: int, check: Check = check, target: str = machine.name) -> str:
            from edgekd.report.charts.waterfall import waterfall

            return waterfall(check, target, name, width)

        caption = (
            f"What each step became on {machine.name}, from {check.reference} down to what is "
            f"shipped: points with 95 % intervals, on {check.examples:,} {check.split} examples. "
            "Filled latency marks are p50, hollow ones p90. Look for a step that loses quality "
            "without becoming smaller or faster."
        )
        controls = {step.program for step in check.steps if step.control}
        if controls:
            caption += (
                " Below the line, in grey: controls, measured beside; nothing that is shipped was "
                "made from them."
            )
        lines = [
            f"{row.program}: {row.change}."
            for row in check.rows
            if row.target == machine.name and not row.gained and row.program not in controls
        ]
        cost = quantized_table(check, machine.name)
        yield Part(
            title,
            lines + quantized_lines(check, machine.name),
            figures=[Figure(draw, caption, [steps_table(check, machine.name)])],
            tables=[table for table in (cost, left_out_table(check)) if table.rows],
        )


def steps_table(check: Check, target: str) -> Table:
    """Return the way from the reference to what is shipped, measured on one target."""
    rows = []
    for step in check.steps:
        if row := row_at(check, step.program, target):
            of, mark = row.quantities, care_of(check, row)
            count = f"{step.parameters:,}" if step.parameters is not None else "not known"
            rows.append(
                row_of(
                    program_cell(check, step.program, target),
                    f"{step.precision}, {step.runtime}",
                    f"failed: {happened(row)}" if row.failure else row.change or _COMPARED,
                    count,
                    *(quantity_cell(of, name) for name in scores_of(check.quality_name)),
                    number_cell({"size": step.size}, "size"),
                    number_cell(of, "latency_p50_ms", mark),
                    number_cell(of, "latency_p90_ms", mark),
                )
            )
    head = [
        "Step",
        "Form",
        "Against what it was made from",
        "Parameters",
        *map(label, scores_of(check.quality_name)),
    ]
    head += ["Size, MiB", "Latency p50, ms", "Latency p90, ms"]
    return Table(f"Steps on {target}", head, rows, (0, 1, 2))
