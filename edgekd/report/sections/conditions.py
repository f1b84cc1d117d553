"""What must be known of a measurement before its numbers are believed: its own notes."""

import re
from collections.abc import Sequence

from edgekd.report.schema.check import Check, Row
from edgekd.report.words import listed

_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def conditions(check: Check) -> list[str]:
    """Return the notes of the measurements, a line each; numbers that differ become a range."""
    targets = list(dict.fromkeys(row.target for row in check.rows))
    lines = []
    for target in targets:
        place = f"{target}: " if len(targets) > 1 else ""
        for programs, note in noted([row for row in check.rows if row.target == target]):
            whose = f"{programs}: " if programs else ""
            lines.append(f"{place}{whose}{note}")
    return lines


def noted(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Return each note of some rows once, with its programs: no names where it is of all of them.

    Notes that differ in numbers alone are one, with a range.
    """
    alike: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        for note in row.notes:
            alike.setdefault(_NUMBER.sub("#", note), []).append((row.program, note))
    found = []
    for notes in alike.values():
        programs = list(dict.fromkeys(program for program, _ in notes))
        whose = "" if len(programs) == len(rows) else listed(programs)
        found.append((whose, _merged([note for _, note in notes])))
    return found


def _merged(notes: Sequence[str]) -> str:
    """Return one note for many that differ in numbers alone: `39 to 49% of a core`."""
    columns = zip(*(_NUMBER.findall(note) for note in notes), strict=True)
    ranges = iter([_range(column) for column in columns])
    return _NUMBER.sub(lambda _: next(ranges), notes[0])


def _range(numbers: Sequence[str]) -> str:
    low, high = min(numbers, key=float), max(numbers, key=float)
    return low if low == high else f"{low} to {high}"
