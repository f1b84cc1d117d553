"""The report as one HTML page that needs nothing but itself."""

from importlib.resources import files
from typing import Any

from edgekd.report.content import content
from edgekd.report.schema.check import Check
from edgekd.report.schema.report import Report
from edgekd.report.sections.conditions import conditions
from edgekd.report.sections.contract import gates_table, is_together, open_gates
from edgekd.report.sections.parts import Figure, Section, moment
from edgekd.report.shortened import MOST_TARGETS, left_out, shortened
from edgekd.report.words import SIGNS, interval_text, value_text

_ROOM = "edgekd.report"


def to_html(report: Report) -> str:
    """Return the page; the same report gives the same bytes."""
    part = shortened(report)
    return rendered(
        "page.html.j2",
        report=report,
        value_text=value_text,
        interval_text=interval_text,
        measured=_measured(report),
        reference=next((check.reference for check in report.checks), ""),
        contracts=[
            {
                "table": gates_table(check),
                "kind": _kind(check),
                "open": open_gates(check),
                "conditions": conditions(check),
            }
            for check in report.checks
        ],
        in_full=left_out(report, part),
        sections=drawn(content(part)),
    )


def _kind(check: Check) -> str:
    """Return how the table of a contract is set; on a phone in cards, unless `together`."""
    if is_together(check):
        return "together"
    return "contract many" if len(gates_table(check).head) > 4 else "contract"


def rendered(template: str, **values: Any) -> str:
    """Return a template of this room with its values, escaped; it may use `parts.html.j2`."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_text),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals |= {"signs": SIGNS, "css": _text("page.css")}
    return environment.get_template(template).render(**values)


def _text(name: str) -> str:
    return files(_ROOM).joinpath(name).read_text("utf-8")


def _measured(report: Report) -> str:
    """Return when and on what everything was measured, briefly."""
    machines = [machine for check in report.checks for machine in check.machines]
    if len(machines) > MOST_TARGETS:
        first = min(machine.measured_at for machine in machines)
        return f"{len(machines)} targets, from {moment(first)} on"
    return "; ".join(
        f"{machine.name}, {moment(machine.measured_at)}"
        + "".join(f", {mark}" for mark in machine.marks)
        for machine in machines
    )


def drawn(sections: list[Section]) -> list[dict[str, Any]]:
    """Return the sections with every figure drawn for a desk and for a phone."""
    count = 0
    drawn = []
    for section in sections:
        parts = []
        for part in section.parts:
            figures = []
            for figure in part.figures:
                count += 1
                figures.append(_figure(figure, f"f{count}"))
            parts.append(vars(part) | {"figures": figures})
        drawn.append({"id": section.id, "title": section.title, "parts": parts})
    return drawn


def _figure(figure: Figure, name: str) -> dict[str, Any]:
    from edgekd.report.charts.canvas import NARROW, WIDE

    return {
        "wide": figure.draw(f"{name}-wide", WIDE),
        "narrow": figure.draw(f"{name}-narrow", NARROW),
        "caption": figure.caption,
        "tables": figure.tables,
    }
