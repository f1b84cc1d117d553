"""The contract: every gate, judged."""

from edgekd.core.results import Gate, Verdict
from edgekd.report.schema import Check, Row
from edgekd.report.tables import (
    Cell,
    Table,
    machine_of,
    marks_of,
    row_of,
)
from edgekd.report.words import label, limit_text, listed, sentence_of


def gates_table(check: Check) -> Table:
    """Return a row per clause and a column per program (and target, where there are several)."""
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


def open_gates(check: Check) -> list[Cell]:
    """Return what failed, then why gates are not kept, those of one reason together.

    A gate without a number for which a failed program is the reason is told by that alone.
    """
    reasons: dict[tuple[Verdict, str, str], list[str]] = {}
    failed = {(row.program, row.target) for row in check.rows if row.failure}
    for gate in sorted(check.gates, key=lambda gate: gate.verdict != "fail"):
        told = gate.measured is None and (gate.program, gate.target) in failed
        if gate.verdict != "pass" and not told:
            place = reasons.setdefault((gate.verdict, gate.name, gate.reason), [])
            place.append(f"{gate.program} on {gate.target}")
    return [*map(_failed, filter(lambda row: row.failure, check.rows))] + [
        Cell(
            f"{label(name)} of {listed(places)}{f': {reason}' if reason else ''}",
            verdict,
            "allowed" if verdict == "inconclusive" and check.inconclusive_allowed else "",
        )
        for (verdict, name, reason), places in reasons.items()
    ]


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
