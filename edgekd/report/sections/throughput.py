"""Samples a second, by how many go into a call and how many processes run at the same time."""

from edgekd.core.results import Rate
from edgekd.report.schema.load import Throughput
from edgekd.report.schema.report import Report
from edgekd.report.sections.parts import Figure, Part, Section, titled
from edgekd.report.tables import Table, row_of
from edgekd.report.words import plural

ABOUT = (
    "Streams are fresh processes that begin together, each with the threads that are stated; the "
    "interval is over such groups. Fewer cores busy than streams times threads: others were busy "
    "beside them, or the program waits for memory."
)


def throughput(report: Report) -> Section | None:
    """Return the section, or None where nobody asked."""
    parts = [
        _part(one, f"{one.program} on {title}" if title else one.program)
        for check, machine, title in titled(report)
        for one in check.throughput
        if one.target == machine.name
    ]
    return Section("throughput", "Throughput", parts) if parts else None


def _part(one: Throughput, title: str) -> Part:
    table = rates_table(one)
    if not any(rate.per_s for rate in one.rates):
        return Part(title=title, lines=[best(one)], tables=[] if _one_reason(one) else [table])

    def draw(name: str, width: int) -> str:
        from edgekd.report.charts.throughput import throughput as chart

        return chart(one, name, width)

    caption = (
        "Samples a second with their intervals. One that reaches the edge goes on beyond it: the "
        "numbers have its end."
    )
    figure = Figure(draw, caption, [table])
    return Part(title=title, lines=[best(one), ABOUT], figures=[figure])


def way(rate: Rate) -> str:
    """Return how a program was run, in words."""
    return f"{rate.samples_a_call} a call, {plural(rate.streams, 'stream')}"


def best(one: Throughput) -> str:
    """Return the most samples a second and how they are had."""
    found = [(rate.per_s, rate) for rate in one.rates if rate.per_s]
    if not found:
        reason = _one_reason(one)
        return f"None: it {reason}." if reason else "No way of running it gave a number."
    per_s, rate = max(found, key=lambda pair: pair[0].value)
    return f"At most {per_s}: {way(rate)}, {plural(rate.threads, 'thread')} each."


def _one_reason(one: Throughput) -> str:
    """Return why no way gave a number, where that is the same of all."""
    reasons = {rate.failure for rate in one.rates}
    return reasons.pop() if len(reasons) == 1 else ""


def rates_table(one: Throughput) -> Table:
    """Return every way of running a program; one that failed says why."""
    rows = [
        row_of(
            f"{rate.samples_a_call}",
            f"{rate.streams}",
            f"{rate.threads}",
            str(rate.per_s).replace(" samples/s", "", 1) if rate.per_s else rate.failure,
            f"{rate.cores:.2f}" if rate.per_s else "—",
        )
        for rate in one.rates
    ]
    head = ("Samples a call", "Streams", "Threads of each", "Samples a second", "Cores busy")
    return Table(f"Throughput of {one.program} on {one.target}", head, rows, ())
