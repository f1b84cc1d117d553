"""Tables as text: the page and the Markdown show the same ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgekd.core.quantity import Quantity, significant
from edgekd.core.results import Verdict
from edgekd.report.schema.check import Check, Machine, Row
from edgekd.report.schema.timing import Spread
from edgekd.report.words import SIGNS


@dataclass(frozen=True)
class Cell:
    """One cell: its text, and its verdict or mark where it has one."""

    text: str
    verdict: Verdict | None = None
    mark: str = ""
    """Shown in the same cell: `emulated`."""

    def __str__(self) -> str:
        words = (f"{SIGNS[self.verdict]} {self.verdict}," if self.verdict else "", self.text)
        return " ".join(part for part in (*words, self.mark and f"({self.mark})") if part)


@dataclass(frozen=True)
class Table:
    """Rows of text below a head; the first column names the row."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    words: Sequence[int] = (0,)
    """The columns of words; the others are set as numbers."""
    notes: Sequence[str] = ()
    """What marks of its cells mean, below the table: said once, however many cells bear them."""


def row_of(*values: Cell | str) -> tuple[Cell, ...]:
    """Return cells; plain text becomes a cell without a mark."""
    return tuple(value if isinstance(value, Cell) else Cell(value) for value in values)


def quantity_cell(quantities: Mapping[str, Quantity], name: str, mark: str = "") -> Cell:
    """Return a quantity as a cell, a dash where it was not measured."""
    return Cell(str(quantities[name]), None, mark) if name in quantities else Cell("—")


def number_cell(quantities: Mapping[str, Quantity], name: str, mark: str = "") -> Cell:
    """Return a quantity without its unit, which stands in the head of its column."""
    cell = quantity_cell(quantities, name, mark)
    unit = quantities[name].unit if name in quantities else ""
    return Cell(cell.text.replace(f" {unit}", "", 1) if unit else cell.text, None, cell.mark)


def program_cell(check: Check, program: str, target: str) -> Cell:
    """Return a program's name, with a mark where it is no step on the way, or failed."""
    control = any(step.control for step in check.steps if step.program == program)
    row = row_at(check, program, target)
    failed = "failed" if row and row.failure else ""
    return Cell(program, None, "; ".join(filter(None, ("control" if control else "", failed))))


def happened(row: Row) -> str:
    """Return in a few words why a program could not be measured; empty where it could."""
    return row.failure.partition("\n")[0]


def spread_cell(spread: Spread, *, factor: float = 1.0, mark: str = "") -> Cell:
    """Return the median without its unit, and beside it the ends where they differ."""
    low, middle, high = (
        significant(value * factor) for value in (spread.lowest, spread.median, spread.highest)
    )
    ends = "" if low == high else f"{low} to {high}"
    return Cell(middle, None, "; ".join(filter(None, (ends, mark))))


def machine_of(check: Check, target: str) -> Machine | None:
    """Return the target as it was found."""
    return next((machine for machine in check.machines if machine.name == target), None)


def marks_of(machine: Machine | None) -> str:
    """Return why a target's latencies need care."""
    return "; ".join(machine.marks) if machine else ""


def care_of(check: Check, row: Row) -> str:
    """Return why a program's latencies need care: what is so of its target's, and if invalid."""
    invalid = "" if row.valid or row.failure else "invalid"
    return "; ".join(filter(None, (marks_of(machine_of(check, row.target)), invalid)))


def row_at(check: Check, program: str, target: str) -> Row | None:
    """Return what was measured of a program on a target."""
    places = ((row.program, row.target) for row in check.rows)
    return dict(zip(places, check.rows, strict=True)).get((program, target))
