"""Runs beside each other as one page and as Markdown."""

from collections.abc import Iterator

from edgekd.core.version import VERSION
from edgekd.report.across.content import content
from edgekd.report.across.schema import RunsCompared
from edgekd.report.across.tables import gates_table, runs_table
from edgekd.report.html import drawn, rendered
from edgekd.report.markdown import escaped, part_lines
from edgekd.report.sections.parts import Part
from edgekd.report.words import SIGNS, listed


def title(compared: RunsCompared) -> str:
    """Return `new against old`; by letters where several runs have one name."""
    names = [run.name for run in compared.runs]
    base, *others = names if len({*names}) == len(names) else [r.letter for r in compared.runs]
    return f"{listed(others)} against {base}"


def runs_html(compared: RunsCompared) -> str:
    """Return the page; it needs nothing but itself."""
    return rendered(
        "across.html.j2",
        title=title(compared),
        compared=compared,
        runs=runs_table(compared),
        gates=gates_table(compared),
        sections=drawn(content(compared)),
        version=VERSION,
    )


def runs_markdown(compared: RunsCompared) -> str:
    """Return what differs in sight, the rest folded."""
    return "\n".join(_lines(compared)).rstrip() + "\n"


def _lines(compared: RunsCompared) -> Iterator[str]:
    yield f"## {escaped(title(compared))}\n"
    for line in compared.sentences:
        yield f"{escaped(line)}\n"
    for line in compared.lost:
        yield f"- {SIGNS['fail']} kept in {compared.runs[0].letter} and no more: {escaped(line)}"
    if compared.lost:
        yield ""
    gates = gates_table(compared)
    yield from part_lines([Part(tables=[runs_table(compared), *([gates] if gates else [])])])
    for section in content(compared):
        yield f"<details><summary>{escaped(section.title)}</summary>\n"
        yield from part_lines(section.parts)
        yield "</details>\n"
