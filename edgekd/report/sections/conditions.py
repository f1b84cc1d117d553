"""What must be known of a measurement before its numbers are believed: its own notes."""

import re
from collections.abc import Sequence

from edgekd.report.schema import Check
from edgekd.report.words import listed

_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def conditions(check: Check) -> list[str]:
    """Return the notes of the measurements, a line each; numbers that differ become a range."""
    targets = list(dict.fromkeys(row.target for row in check.rows))
    lines = []
    for target in targets:
        rows = [row for row in check.rows if row.target == target]
        alike: dict[str, list[tuple[str, str]]] = {}
        for row in rows:
            for note in row.notes:
                alike.setdefault(_NUMBER.sub("#", note), []).append((row.program, note))
        for found in alike.values():
            programs = list(dict.fromkeys(program for program, _ in found))
            whose = "" if len(programs) == len(rows) else f"{listed(programs)}: "
            place = f"{target}: " if len(targets) > 1 else ""
            lines.append(f"{place}{whose}{_merged([note for _, note in found])}")
    return lines


def _merged(notes: Sequence[str]) -> str:
    """Return one note for many that differ in numbers alone: `39 to 49% of a core`."""
    columns = zip(*(_NUMBER.findall(note) for note in notes), strict=True)
    ranges = iter([_range(column) for column in columns])
    return _NUMBER.sub(lambda _: next(ranges), notes[0])


def _range(numbers: Sequence[str]) -> str:
    low, high = min(numbers, key=float), max(numbers, key=float)
    return low if low == high else f"{low} to {high}"
