"""What a section is made of; a format decides what becomes of it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from edgekd.report.schema.check import Check, Machine
from edgekd.report.schema.report import Report
from edgekd.report.tables import Table


@dataclass(frozen=True)
class Figure:
    """A drawing, what to see in it, and its data."""

    draw: Callable[[str, int], str]
    """From a prefix of its ids and a width in CSS pixels to an `<svg>` element."""
    caption: str
    tables: list[Table]


@dataclass(frozen=True)
class Part:
    """Something under a heading of its own, or none."""

    title: str = ""
    lines: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    tables_first: bool = False
    """Whether the tables stand before the figures."""
    facts: dict[str, str] = field(default_factory=dict)
    command: str = ""
    folded: dict[str, str] = field(default_factory=dict)
    """Long texts by title, shown on demand."""


@dataclass(frozen=True)
class Section:
    """A part of the report that the reader can jump to."""

    id: str
    title: str
    parts: list[Part]


def titled(report: Report) -> Iterator[tuple[Check, Machine, str]]:
    """Yield every check on every target, with a heading where there are several."""
    places = [(check, machine) for check in report.checks for machine in check.machines]
    for check, machine in places:
        name = f"{check.stage} on {machine.name}" if len(report.checks) > 1 else machine.name
        yield check, machine, name if len(places) > 1 else ""


def moment(iso: str) -> str:
    """Return an ISO 8601 time as `2026-11-23 09:07 UTC`; anything else as it is."""
    try:
        time = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
