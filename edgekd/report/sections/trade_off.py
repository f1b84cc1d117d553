"""Trade-off: quality against latency, with the budget."""

from edgekd.report.schema.check import Check
from edgekd.report.schema.report import Report
from edgekd.report.schema.trade_off import TradeOff
from edgekd.report.sections.parts import Figure, Part, Section
from edgekd.report.tables import (
    Table,
    program_cell,
    row_of,
)
from edgekd.report.words import label


def trade_off(report: Report) -> Section | None:
    """Return a figure per check; None where nothing can be compared."""
    parts = [_part(check, len(report.checks) > 1) for check in report.checks if check.trade_offs]
    return Section("trade-off", "Trade-off", parts=parts) if parts else None


def _part(check: Check, several: bool) -> Part:
    def draw(name: str, width: int) -> str:
        from edgekd.report.charts.trade_off import trade_off as chart

        return chart(check, name, width)

    caption = (
        "Further left is faster, further up is better; lines are 95 % intervals. No program beats "
        "those on the stepped line in both. Shaded: what the gates allow."
    ) + (" Grey: controls." if any(step.control for step in check.steps) else "")
    tables = [trade_off_table(check, picture) for picture in check.trade_offs]
    return Part(check.stage if several else "", figures=[Figure(draw, caption, tables)])


def trade_off_table(check: Check, picture: TradeOff) -> Table:
    """Return the points of a trade-off."""
    rows = [
        row_of(
            program_cell(check, p.program, picture.target),
            str(p.latency),
            str(p.quality),
            "yes" if p.on_front else "no",
        )
        for p in picture.points
    ]
    head = ("Program", label(picture.latency_name), label(picture.quality_name), "On the front")
    return Table(f"Trade-off on {picture.target}", head, rows)
