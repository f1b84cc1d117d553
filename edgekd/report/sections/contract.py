"""The contract: every gate, judged."""

from collections import Counter
from collections.abc import Sequence

from edgekd.core.quantity import significant
from edgekd.core.results import Gate, Verdict
from edgekd.report.schema.check import Check, Row
from edgekd.report.tables import (
    Cell,
    Table,
    machine_of,
    marks_of,
    row_of,
)
from edgekd.report.words import label, limit_text, listed, plural, sentence_of

MOST_PLACES = 16
"""Of more programs on targets a contract shows one verdict each."""
MOST_OPEN = 12
"""Reasons, and places in one of them, that are told in sight."""
_WORST_FIRST: tuple[Verdict, ...] = ("fail", "inconclusive", "pass")


def gates_table(check: Check) -> Table:
    """Return a row per clause and a column per program (and target, where there are several).

    Where those are many: a row per program and a column per target, all clauses judged together.
    """
    if is_together(check):
        return _together(check)
    places = list(dict.fromkeys((gate.program, gate.target) for gate in check.gates))
    several = len({target for _, target in places}) > 1
    clauses: dict[tuple[str, str], dict[tuple[str, str], Gate]] = {}
    for gate in check.gates:
        clauses.setdefault((gate.name, gate.limit), {})[gate.program, gate.target] = gate
    rows = []
    for (name, limit), gates in clauses.items():
        measured = next((gate for gate in gates.values() if gate.measured), None)
        shown = limit_text(measured) if measured else limit
        cells = [_judged(gates.get(place), check) for place in places]
        rows.append(row_of(_against(name, check.reference), shown, *cells))
    heads = [f"{program} on {target}" if several else program for program, target in places]
    return Table(f"Contract of {check.stage}", ("Gate", "Limit", *heads), rows)


def is_together(check: Check) -> bool:
    """Tell whether the contract is about too many programs on targets to show each clause."""
    return len({(gate.program, gate.target) for gate in check.gates}) > MOST_PLACES


def _together(check: Check) -> Table:
    """Return for each program and target the worst verdict, and a latency."""
    gates: dict[tuple[str, str], list[Gate]] = {}
    for gate in check.gates:
        gates.setdefault((gate.program, gate.target), []).append(gate)
    targets = list(dict.fromkeys(gate.target for gate in check.gates))
    latencies = [gate.name for gate in check.gates if gate.name.startswith("latency_p")]
    name = next(iter(latencies), "latency_p50_ms")
    measured = {(row.program, row.target): row for row in check.rows}
    rows = [
        row_of(
            program,
            *(
                _worst(gates[place], measured[place], name) if place in gates else Cell("no gate")
                for place in ((program, target) for target in targets)
            ),
        )
        for program in dict.fromkeys(gate.program for gate in check.gates)
    ]
    terms = dict.fromkeys(
        f"{_against(gate.name, check.reference)} {limit_text(gate)}"
        for gate in check.gates
        if gate.measured
    )
    title = f"Contract of {check.stage}: {listed([*terms])}. Numbers: {label(name)} in ms"
    marks = {target: marks_of(machine_of(check, target)) for target in targets}
    heads = [f"{target} ({mark})" if mark else target for target, mark in marks.items()]
    return Table(title, ("Program", *heads), rows)


def _worst(gates: Sequence[Gate], row: Row, name: str) -> Cell:
    """Return the worst verdict of a program on a target, and what of a latency was measured."""
    verdict = min((gate.verdict for gate in gates), key=_WORST_FIRST.index)
    value = row.quantities.get(name)
    mark = "" if row.valid or row.failure else "invalid"
    return Cell(significant(value.value) if value else "not measured", verdict, mark)


def open_gates(check: Check) -> list[Cell]:
    """Return what failed, then why gates are not kept, those of one reason together.

    Of very many the first are told, and how many more there are.
    """
    found = _open_gates(check)
    more = len(found) - MOST_OPEN
    return found if more <= 0 else [*found[:MOST_OPEN], Cell(f"and {more} more in the JSON")]


def _open_gates(check: Check) -> list[Cell]:
    """Return all that is open.

    A gate without a number for which a failed program is the reason is told by that alone.
    """
    reasons: dict[tuple[Verdict, str, str], list[tuple[str, str]]] = {}
    failed = {(row.program, row.target) for row in check.rows if row.failure}
    for gate in sorted(check.gates, key=lambda gate: gate.verdict != "fail"):
        told = gate.measured is None and (gate.program, gate.target) in failed
        if gate.verdict != "pass" and not told:
            place = reasons.setdefault((gate.verdict, gate.name, gate.reason), [])
            place.append((gate.program, gate.target))
    return [*map(_failed, filter(lambda row: row.failure, check.rows))] + [
        Cell(
            f"{label(name)} of {_some(places)}{f': {reason}' if reason else ''}",
            verdict,
            "allowed" if verdict == "inconclusive" and check.inconclusive_allowed else "",
        )
        for (verdict, name, reason), places in reasons.items()
    ]


def _some(places: Sequence[tuple[str, str]]) -> str:
    """Return programs on targets as words; of many on how many each is, and of those the first."""
    said = [f"{program} on {target}" for program, target in places]
    if len(said) > MOST_OPEN:
        count = Counter(program for program, _ in places)
        said = [f"{program} on {plural(number, 'target')}" for program, number in count.items()]
    more = len(said) - MOST_OPEN
    return listed(said if more <= 0 else [*said[:MOST_OPEN], plural(more, "more program")])


def _failed(row: Row) -> Cell:
    return Cell(f"{row.program} on {row.target} {sentence_of(row.failure)}", "fail")


def _against(name: str, reference: str) -> str:
    compared = {"agreement": "with", "speedup": "on"}
    joined = "against" if name.endswith("_drop") else compared.get(name)
    return f"{label(name)} {joined} {reference}" if joined else label(name)


def _judged(gate: Gate | None, check: Check) -> Cell:
    if gate is None:
        return Cell("no gate")
    text = str(gate.measured) if gate.measured else gate.reason or "not measured"
    timed = gate.name.startswith("latency") or gate.name == "speedup"
    return Cell(text, gate.verdict, marks_of(machine_of(check, gate.target)) if timed else "")
