"""The contract: every gate, judged."""

from edgekd.core.results import Gate, Verdict
from edgekd.report.schema import Check
from edgekd.report.tables import (
    Cell,
    Table,
    machine_of,
    marks_of,
    row_of,
)
from edgekd.report.words import label, limit_text, listed


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
    """Return why gates are not kept, failed ones first, those of one reason together."""
    reasons: dict[tuple[Verdict, str, str], list[str]] = {}
    for gate in sorted(check.gates, key=lambda gate: gate.verdict != "fail"):
        if gate.verdict != "pass":
            place = reasons.setdefault((gate.verdict, gate.name, gate.reason), [])
            place.append(f"{gate.program} on {gate.target}")
    return [
        Cell(
            f"{label(name)} of {listed(places)}{f': {reason}' if reason else ''}",
            verdict,
            "allowed" if verdict == "inconclusive" and check.inconclusive_allowed else "",
        )
        for (verdict, name, reason), places in reasons.items()
    ]


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
