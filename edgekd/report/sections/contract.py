"""The contract: every gate, judged."""

from edgekd.core.results import Gate
from edgekd.report.schema import Check
from edgekd.report.tables import (
    Cell,
    Table,
    machine_of,
    marks_of,
    row_of,
)
from edgekd.report.words import SIGNS, label, limit_text


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
    return Table("Contract", ("Gate", "Limit", *heads), rows)


def open_gates(check: Check) -> list[str]:
    """Return why each gate that is not kept is not, one line each."""
    return [
        f"{SIGNS[gate.verdict]} {label(gate.name)} of {gate.program} on {gate.target}: "
        f"{gate.reason or gate.verdict}."
        for gate in check.gates
        if gate.verdict != "pass"
    ]


def _against(name: str, reference: str) -> str:
    compared = name.endswith("_drop") or name in ("agreement", "speedup")
    return f"{label(name)} against {reference}" if compared else label(name)


def _judged(gate: Gate | None, check: Check) -> Cell:
    if gate is None:
        return Cell("no gate")
    text = str(gate.measured) if gate.measured else gate.reason or "not measured"
    timed = gate.name.startswith("latency") or gate.name == "speedup"
    return Cell(text, gate.verdict, marks_of(machine_of(check, gate.target)) if timed else "")
