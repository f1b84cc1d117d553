"""The report as Markdown, for pull requests."""

from collections.abc import Iterator, Sequence

from edgekd.report.content import content
from edgekd.report.schema.report import Report
from edgekd.report.sections.conditions import conditions
from edgekd.report.sections.contract import gates_table, open_gates
from edgekd.report.sections.parts import Part
from edgekd.report.shortened import left_out, shortened
from edgekd.report.tables import Table
from edgekd.report.words import SIGNS

_SPECIAL = str.maketrans(
    {c: f"\\{c}" for c in "\\`*_[]|#~"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
)


def to_markdown(report: Report) -> str:
    """Return the verdict and the gates in sight, the rest folded."""
    return "\n".join(_lines(report)).rstrip() + "\n"


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return " ".join(text.translate(_SPECIAL).split())


def _lines(report: Report) -> Iterator[str]:
    head = report.headline
    yield f"## {SIGNS[head.verdict]} {escaped(report.name)}: {escaped(head.words)}\n"
    yield f"{escaped(head.sentence)}\n"
    for check in report.checks:
        if check.gates:
            yield _table(gates_table(check))
        for line in open_gates(check):
            yield f"- {escaped(str(line))}"
        for note in conditions(check):
            yield f"- Mind: {escaped(note)}"
        yield ""
    for one in report.failed:
        yield f"- Failed: {escaped(one.stage)}: {escaped(one.why)}"
    part = shortened(report)
    if said := left_out(report, part):
        yield f"{said}\n"
    for section in content(part):
        yield f"<details><summary>{escaped(section.title)}</summary>\n"
        yield from part_lines(section.parts)
        yield "</details>\n"


def part_lines(parts: Sequence[Part]) -> Iterator[str]:
    """Yield what a section holds, its figures as the tables of their data."""
    for part in parts:
        yield from _part(part)


def _part(part: Part) -> Iterator[str]:
    if part.title:
        yield f"### {escaped(part.title)}\n"
    for line in part.lines:
        yield f"{escaped(line)}\n"
    for table in [*part.tables, *(t for figure in part.figures for t in figure.tables)]:
        yield f"**{escaped(table.title)}**\n\n{_table(table)}"
    for name, fact in part.facts.items():
        yield f"- {escaped(name)}: {escaped(fact)}"
    if part.facts:
        yield ""
    if part.command:
        yield _code(part.command)
    for name, text in part.folded.items():
        yield f"{escaped(name)}:\n\n{_code(text)}"


def _table(table: Table) -> str:
    marks = ["---" if i in table.words else "---:" for i in range(len(table.head))]
    lines = [map(escaped, table.head), marks]
    lines += [[escaped(str(cell)) for cell in row] for row in table.rows]
    shown = "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
    return shown + "".join(f"\n{escaped(note)}\n" for note in table.notes)


def _code(text: str) -> str:
    """Return a block that holds the text whatever backticks it has."""
    fence = "`" * max(3, 1 + max((len(run) for run in _backticks(text)), default=0))
    return f"{fence}\n{text.rstrip()}\n{fence}\n"


def _backticks(text: str) -> list[str]:
    return [run for run in "".join(c if c == "`" else " " for c in text).split() if run]
