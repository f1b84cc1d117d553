"""The contract as JUnit XML, which CI systems show as tests.

A suite is a check on a target, a test case a gate of a program there. The form is that of the
schemas in common use: Ant's (windyroad) and that of Jenkins' xunit plug-in. Both leave no place
for the words of a test that passed, so every gate stands in the suite's `system-out` too.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from edgekd.core.results import Gate
from edgekd.report.schema.check import Check, Machine, Row
from edgekd.report.schema.report import Report
from edgekd.report.words import label, limit_text

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even escaped."""
_Case = tuple[str, str, str, str]
"""Program, name, outcome (pass, skipped, failure or error), words."""


def to_junit(report: Report) -> str:
    """Return the document; the same report gives the same bytes."""
    root = Element("testsuites")
    places = [(check, machine) for check in report.checks for machine in check.machines]
    for number, (check, machine) in enumerate(places):
        cases = [*_gates(check, machine), *_failed(check, machine)]
        name = f"{check.stage} on {machine.name}"
        _suite(root, number, report.name, name, machine, cases)
    if report.failed:
        lost = [("", one.stage, "error", f"failed: {one.why}") for one in report.failed]
        _suite(root, len(places), report.name, "without a result", None, lost)
    ElementTree.indent(root, " ")
    return ElementTree.tostring(root, "unicode", xml_declaration=True) + "\n"


def _gates(check: Check, machine: Machine) -> Iterator[_Case]:
    for gate in check.gates:
        if gate.target == machine.name:
            outcome = {"pass": "pass", "fail": "failure", "inconclusive": "failure"}[gate.verdict]
            if gate.verdict == "inconclusive" and check.inconclusive_allowed:
                outcome = "skipped"
            yield gate.program, f"{gate.name} {gate.limit}", outcome, _words(gate)


def _words(gate: Gate) -> str:
    measured = str(gate.measured) if gate.measured else "not measured"
    why = f" ({gate.reason})" if gate.reason else ""
    return f"{gate.verdict}: {label(gate.name)} {measured}, limit {limit_text(gate)}{why}"


def _failed(check: Check, machine: Machine) -> Iterator[_Case]:
    """Yield the programs that could not be measured, whether a gate is about them or not."""
    for row in check.rows:
        if row.target == machine.name and row.failure:
            yield row.program, "measured", "error", _failure(row)


def _failure(row: Row) -> str:
    return f"could not be measured: {row.failure}"


def _suite(
    root: Element,
    number: int,
    package: str,
    name: str,
    machine: Machine | None,
    cases: Sequence[_Case],
) -> None:
    facts = machine.facts if machine else {}
    about = {
        "name": _text(name),
        "package": _text(package),
        "id": str(number),
        "hostname": _text(machine.name if machine else "") or "localhost",
        "timestamp": _moment(machine.measured_at if machine else ""),
        "time": "0",  # what the measurements took is no property of a gate
    }
    suite = SubElement(root, "testsuite", about | _counts([outcome for *_, outcome, _ in cases]))
    properties = SubElement(suite, "properties")
    for key, value in facts.items():
        SubElement(properties, "property", name=_text(key) or "-", value=_text(value))
    for case in cases:
        _case(suite, f"{package}.{name}", case)
    lines = [": ".join(filter(None, (program, words))) for program, _, _, words in cases]
    SubElement(suite, "system-out").text = _lines("\n".join(lines))
    SubElement(suite, "system-err").text = ""


def _counts(outcomes: Sequence[str]) -> dict[str, str]:
    """Return how many cases there are, and how many of them did not pass, by attribute."""
    attributes = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    told = {name: str(outcomes.count(outcome)) for name, outcome in attributes.items()}
    return {"tests": str(len(outcomes))} | told


def _case(suite: Element, place: str, case: _Case) -> None:
    program, name, outcome, words = case
    classname = f"{place}.{program}" if program else place
    one = SubElement(suite, "testcase", name=_text(name), classname=_text(classname), time="0")
    if outcome == "skipped":
        SubElement(one, outcome, message=_text(words))
    elif outcome != "pass":
        kind = words.partition(":")[0]
        SubElement(one, outcome, type=_text(kind), message=_text(words)).text = _lines(words)


def _text(text: str) -> str:
    """Return text that XML can hold; what it cannot is shown as Python would write it."""
    return _FORBIDDEN.sub(lambda found: ascii(found[0])[1:-1], text)


def _lines(text: str) -> str:
    """Return text as an element's content, where readers make every line end a line feed."""
    return "\n".join(_text(text).replace("\r\n", "\n").split("\r"))


def _moment(iso: str) -> str:
    """Return a time in UTC without its zone, as Ant's schema wants it; the epoch without one."""
    try:
        time = datetime.fromisoformat(iso)
    except ValueError:
        time = datetime.fromtimestamp(0, UTC)
    if time.tzinfo is not None:
        time = time.astimezone(UTC)
    return f"{time:%Y-%m-%dT%H:%M:%S}"
