"""Where the time goes: kinds of operators and modules by what they take of a run."""

from collections.abc import Iterator

from edgekd.core.quantity import Quantity, significant
from edgekd.report.schema.check import Check
from edgekd.report.schema.operators import OperatorTimes, TimeShare
from edgekd.report.schema.report import Report
from edgekd.report.sections.parts import Figure, Part, Section, titled
from edgekd.report.tables import Table, row_of
from edgekd.report.words import plural

MOST_BARS = 12
MOST_DRAWN = 6
"""Programs of a check that are drawn; the page of a large comparison must stay usable."""
UNKNOWN = "no module that is known"
CAPTION = (
    "Share of the time in operators that each takes, the largest on top. The hollow mark is the "
    "share of it and all above it."
)


def operators(report: Report) -> Section | None:
    """Return the section, or None where no operator was timed."""
    parts = [
        part for check, machine, title in titled(report)
        for part in _parts(check, machine.name, title)
    ]  # fmt: skip
    return Section("operators", "Where the time goes", parts) if parts else None


def _parts(check: Check, target: str, title: str) -> Iterator[Part]:
    found = [one for one in check.operators if one.target == target]
    drawn = _worth_drawing(check)
    for one in found:
        if one.program in drawn:
            head = f"{one.program} on {title}" if title else one.program
            yield Part(title=head, lines=_lines(one), figures=[*_figures(one)])
    left = [one.program for one in found if one.program not in drawn]
    if left:
        lines = [f"Of {plural(len(left), 'more program')} the JSON of this report has the same."]
        yield Part(lines=lines)


def _worth_drawing(check: Check) -> set[str]:
    """Return the programs to draw: the candidates, the reference, and what is between."""
    rank = {"candidate": 0, "reference": 1, "along": 2}
    steps = sorted(check.steps, key=lambda step: (step.control, rank[step.role]))
    return {step.program for step in steps[:MOST_DRAWN]}


def _lines(one: OperatorTimes) -> list[str]:
    between = max(0.0, one.whole_us - one.inside_us)
    said = (
        f"Noted by the runtime over {one.runs} runs in a process of its own: {_ms(one.inside_us)} "
        f"in operators, {_ms(between)} between them. Keeping count makes a run slower, the more so "
        "the more operators there are: believe the shares, and for latency the section above."
    )
    if one.delegated is None:
        return [said]
    share = Quantity(one.delegated, "share")
    return [said, f"{share} of the time in operators is spent in the delegate."]


def _ms(us: float) -> str:
    return f"{significant(us / 1000)} ms"


def _figures(one: OperatorTimes) -> Iterator[Figure]:
    for shares, what in ((one.by_operator, "operator"), (one.by_module, "module")):
        if shares:
            yield _figure(one, shares, what)


def _figure(one: OperatorTimes, shares: list[TimeShare], what: str) -> Figure:
    def draw(name: str, width: int) -> str:
        from edgekd.report.charts.operators import operators as chart

        bars = [(named(each), each.share, each.up_to) for each in shares[:MOST_BARS]]
        return chart(bars, f"Time of {one.program} on {one.target} by {what}", name, width)

    more = len(shares) - MOST_BARS
    rest = f" {plural(more, 'more row')} in the table." if more > 0 else ""
    return Figure(draw, f"By {what}. {CAPTION}{rest}", [operators_table(one, shares, what)])


def named(each: TimeShare) -> str:
    """Return an operator's or a module's name, and where it is computed if there is a choice."""
    places = {True: " (delegate)", False: " (portable kernel)", None: ""}
    return (each.name or UNKNOWN) + places[each.delegated]


def operators_table(one: OperatorTimes, shares: list[TimeShare], what: str) -> Table:
    """Return microseconds a run, calls, share, and share up to there."""
    rows = [
        row_of(
            named(each),
            f"{each.calls:g}",
            significant(each.us),
            f"{100 * each.share:.1f}",
            f"{100 * each.up_to:.1f}",
        )
        for each in shares
    ]
    head = (what.capitalize(), "Calls a run", "Time a run, us", "Share, %", "Up to here, %")
    return Table(f"Time of {one.program} on {one.target} by {what}", head, rows)
