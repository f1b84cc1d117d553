"""Quality: score, agreement, calibration, and which classes changed."""

from collections.abc import Iterator, Sequence

from edgekd.core.quantity import Quantity
from edgekd.report.schema.check import Check, Row
from edgekd.report.schema.report import Report
from edgekd.report.sections.parts import Figure, Part, Section, titled
from edgekd.report.tables import (
    Table,
    program_cell,
    quantity_cell,
    row_at,
    row_of,
)
from edgekd.report.words import SHOWN, UNLABELLED, label, points_text, unlabelled

_MOST_CLASSES = 24
Change = tuple[str, Quantity, Quantity]
"""A class, its accuracy before and after."""


def quality(report: Report) -> Section | None:
    """Return the scores per target, and where they were taken, reliability and class changes.

    None where no example was scored.
    """
    if not any(check.examples for check in report.checks):
        return None
    parts = [
        Part(
            title,
            [f"{unlabelled(check.reference)}."] if check.quality_name == UNLABELLED else [],
            figures=[*_reliability(check, machine.name), *_classes(report, check, machine.name)],
            tables=[quality_table(check, machine.name)],
            tables_first=True,
        )
        for check, machine, title in titled(report)
    ]
    return Section("quality", "Quality", parts=parts)


def _reliability(check: Check, target: str) -> Iterator[Figure]:
    ends = {step.program for step in check.steps if step.role != "along"}
    rows = [r for r in check.rows if r.target == target and r.program in ends and r.reliability]
    if not rows:
        return

    def draw(name: str, width: int) -> str:
        from edgekd.report.charts.reliability import reliability
        from edgekd.report.charts.roles import looks

        look = looks(check)
        return reliability([(row, look[row.program]) for row in rows], target, name, width)

    caption = (
        "How often a program is right when it is so sure. On the dashed diagonal its confidence "
        "can be believed; below it, the program is too sure. Bars: examples in each bin; lines: "
        "95 % intervals, wide where a bin has few examples."
    )
    yield Figure(draw, caption, [reliability_table(rows)])


def _classes(report: Report, check: Check, target: str) -> Iterator[Figure]:
    ends = [step.program for step in check.steps if step.role == "candidate"]
    shown = report.headline.program if report.headline.program in ends else next(iter(ends), "")
    before, after = row_at(check, check.reference, target), row_at(check, shown or "", target)
    if not before or not after:
        return
    changed, left_out = class_changes(before, after, _MOST_CLASSES)
    if not changed:
        return

    def draw(name: str, width: int) -> str:
        from edgekd.report.charts.classes import class_dots
        from edgekd.report.charts.roles import looks

        look = looks(check)
        return class_dots(changed, (look[before.program], look[after.program]), name, width)

    caption = (
        f"Accuracy of each class before ({before.program}, square) and after ({after.program}, "
        "pointed), worst change first, with 95 % intervals. Where the intervals overlap widely "
        "the change may be chance."
    )
    if left_out:
        caption += f" {left_out} classes between the worst and the best are left out."
    yield Figure(draw, caption, [classes_table(changed, (before, after))])


def class_changes(before: Row, after: Row, most: int) -> tuple[list[Change], int]:
    """Return the classes sorted by change, worst first, and how many were left out.

    Of more than `most` classes the worst and the best halves are kept.
    """
    both = [
        (name, old, after.per_class[name])
        for name, old in before.per_class.items()
        if name in after.per_class
    ]
    both.sort(key=lambda one: (one[2].value - one[1].value, one[0]))
    left_out = max(0, len(both) - most)
    if left_out:
        both = both[: most // 2] + both[len(both) - most // 2 :]
    return both, left_out


def quality_table(check: Check, target: str) -> Table:
    """Return quality, agreement and calibration of every program."""
    names = (check.quality_name, *SHOWN[check.quality_name])
    rows = [
        row_of(
            program_cell(check, row.program, target),
            *(quantity_cell(row.quantities, name) for name in names),
        )
        for row in check.rows
        if row.target == target
    ]
    return Table(f"Quality on {target}", ("Program", *map(label, names)), rows)


def reliability_table(rows: Sequence[Row]) -> Table:
    """Return every bin of every program's reliability plot."""
    cells = [
        row_of(row.program, f"{b.confidence:.2f}", f"{b.accuracy:.2f}", f"{b.count:,}")
        for row in rows
        for b in row.reliability
    ]
    head = ("Program", "Confidence", "Accuracy", "Examples")
    return Table(f"Reliability on {rows[0].target}", head, cells)


def classes_table(changed: Sequence[Change], ends: tuple[Row, Row]) -> Table:
    """Return accuracy by class before and after, in the order given."""
    rows = [row_of(name, str(old), str(new), points_text(old, new)) for name, old, new in changed]
    head = ("Class", *(row.program for row in ends), "Change")
    return Table(f"Accuracy by class on {ends[0].target}", head, rows)
