"""The tables of runs beside each other: pages, Markdown and the terminal fill theirs from these."""

from collections.abc import Iterator, Sequence

from edgekd.report.across.schema import Change, Judged, Line, Place, RunsCompared, Seen
from edgekd.report.tables import Cell, Table, row_of
from edgekd.report.words import label, limit_beside

KINDS = {
    "configuration": "Configuration",
    "data": "Data",
    "code": "Code",
    "versions": "Versions",
    "machine": "Machines",
}
_LONGEST = 160
MOST_GATES = 300
"""What a page takes of a run with many gates, those that changed first."""


def runs_table(compared: RunsCompared) -> Table:
    """Return what each run came to, its verdict by sign and word."""
    rows = [
        row_of(
            Cell(f"{run.letter}: {run.name}", None, "base" if number == 0 else ""),
            Cell(run.words),
        )
        for number, run in enumerate(compared.runs)
    ]
    return Table("Runs", ("Run", "Contract"), rows, (0, 1))


def gates_table(compared: RunsCompared) -> Table | None:
    """Return every gate in all runs, those that changed first; None where there are none."""
    lines = [(place, line) for place in compared.places for line in place.gates]
    if not lines:
        return None
    several = len({place.target for place, _ in lines}) > 1
    rows = [
        row_of(
            f"{label(line.gate)} of {place.program}" + (f" on {place.target}" if several else ""),
            *_judged(_all_runs(compared, line.judged)),
        )
        for place, line in sorted(lines, key=lambda pair: not pair[1].changed)[:MOST_GATES]
    ]
    more = f", {len(rows)} of {len(lines)}: the JSON has all" if len(lines) > len(rows) else ""
    return Table(f"Contract{more}", ("Gate", "Limit", *_letters(compared)), rows)


def measures_table(compared: RunsCompared, place: Place) -> Table:
    """Return a row per measure: every run's number, then what the others differ by."""
    others = [run.letter for run in compared.runs[1:]]
    base = compared.runs[0].letter
    rows = [_measure_row(line, _letters(compared), others) for line in place.lines]
    head = ("Measure", *_letters(compared), *(f"{letter} against {base}" for letter in others))
    words = tuple(range(len(head) - len(others), len(head)))
    return Table(f"{place.program} on {place.target}", head, rows, (0, *words))


def _measure_row(line: Line, letters: Sequence[str], others: Sequence[str]) -> Sequence[Cell]:
    seen = {one.run: one for one in line.seen}
    against = {one.run: one.words for one in line.differences}
    return row_of(
        label(line.measure),
        *(seen_cell(seen.get(letter)) for letter in letters),
        *(against.get(letter, "—") for letter in others),
    )


def changes_table(kind: str, found: Sequence[Change]) -> Table:
    """Return what of one kind is different; of code only where."""
    if kind == "code":
        rows = [row_of(change.path, where(change)) for change in found]
        return Table(KINDS[kind], ("Code of", "Where"), rows, (0, 1))
    rows = [
        row_of(change.path, brief(change.base), brief(change.other), where(change))
        for change in found
    ]
    return Table(KINDS[kind], ("What", "Base", "Other", "Where"), rows, (0, 1, 2, 3))


def where(change: Change) -> str:
    """Return the stages of a change, a few by name."""
    named = ", ".join(change.stages[:4])
    more = len(change.stages) - 4
    return f"{named} and {more} more" if more > 0 else named


def _judged(gates: Sequence[Judged]) -> Iterator[Cell]:
    """Yield the limit, then every run's verdict; with its limit where these are not the same."""
    limits = list(dict.fromkeys(limit_of(one) for one in gates if one.limit))
    yield Cell(" or ".join(limits))
    for one in gates:
        if one.verdict is None:
            yield Cell("no gate")
        else:
            own = limit_of(one) if len(limits) > 1 else ""
            yield Cell(str(one.measured) if one.measured else "not measured", one.verdict, own)


def limit_of(one: Judged) -> str:
    """Return a gate's limit in the unit of what was measured; empty where there is no gate."""
    return limit_beside(one.limit, one.measured) if one.limit else ""


def seen_cell(one: Seen | None) -> Cell:
    """Return what one run measured, with what must be known of it."""
    if one is None:
        return Cell("—")
    return Cell(str(one.measured) if one.measured else "—", None, "; ".join(one.marks))


def _letters(compared: RunsCompared) -> list[str]:
    return [run.letter for run in compared.runs]


def _all_runs(compared: RunsCompared, judged: Sequence[Judged]) -> list[Judged]:
    found = {one.run: one for one in judged}
    return [found.get(letter, Judged(run=letter)) for letter in _letters(compared)]


def brief(value: str) -> str:
    """Return a value, of a long one the beginning."""
    return value if len(value) <= _LONGEST else f"{value[: _LONGEST - 4]} ..."
