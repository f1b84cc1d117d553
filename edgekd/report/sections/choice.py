"""What was chosen by measurement, and what became of all that was tried."""

from edgekd.core.quantity import Quantity
from edgekd.report.schema.choices import Choice, Tried
from edgekd.report.schema.report import Report
from edgekd.report.sections.parts import Part, Section
from edgekd.report.tables import Cell, Table, quantity_cell, row_of
from edgekd.report.words import label

SIZE = "size_mib"


def choice(report: Report) -> Section | None:
    """Return a table per stage that chose; None where none did."""
    parts = [
        Part(one.stage, lines=[_sentence(one.says)], tables=[tried_table(one)])
        for one in report.choices
    ]
    return Section("choice", "Tried and chosen", parts) if parts else None


def tried_table(one: Choice) -> Table:
    """Return every candidate with what it was measured by and what became of it."""
    measured = (tried.quantities.get(one.quality_name) for tried in one.tried)
    unit = next((quantity.unit for quantity in measured if quantity), "")
    allowed = Quantity(one.max_drop, "share_difference" if unit == "share" else unit)
    rows = [
        row_of(
            tried.name,
            _latency(tried, "; ".join(one.marks)),
            quantity_cell(tried.quantities, one.quality_name),
            quantity_cell(tried.quantities, SIZE),
            str(tried.restarts or "—"),
            tried.became,
        )
        for tried in one.tried
    ]
    head = ("Candidate", "Latency p50", label(one.quality_name), "Size", "Restarts")
    where = ", ".join(one.targets)
    return Table(
        f"Tried on {where}, scored on validation; at most {allowed} may be lost",
        (*head, "Became"),
        rows,
        (0, 5),
    )


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _latency(tried: Tried, marks: str) -> Cell:
    cell = quantity_cell(tried.quantities, "latency_p50_ms")
    return Cell(cell.text, None, marks) if tried.restarts else cell
