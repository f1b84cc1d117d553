"""Samples a second as points with intervals, a row for each way of running a program."""

from collections.abc import Sequence

from edgekd.core.quantity import Quantity
from edgekd.report.charts.axes import interval, text_width
from edgekd.report.charts.canvas import COLOURS, INK, MUTED, NARROW, SMALL, drawing, to_svg
from edgekd.report.charts.roles import Look
from edgekd.report.schema.load import Throughput
from edgekd.report.sections.throughput import way

_ROW, _HEAD, _FOOT = 30, 10, 46
_FAR = 2.0
"""Intervals end at the edge so many times beyond the largest rate: one of few groups that differ
can be a hundred times as wide as what is to be seen."""


def throughput(one: Throughput, name: str, width: int) -> str:
    """Return the SVG; the axis begins at zero, because twice as far is twice as much."""
    rates = [(way(rate), rate.per_s) for rate in one.rates if rate.per_s]
    left = text_width((said for said, _ in rates), SMALL) + 14
    high = _ROW * len(rates) + _HEAD + _FOOT
    with drawing(width, high) as figure:
        box = (left / width, _FOOT / high, (width - left - 24) / width, _ROW * len(rates) / high)
        axes = figure.add_axes(box)
        for place, (_, per_s) in enumerate(rates):
            interval(axes, per_s, place, Look(COLOURS["step-4"], "o"))
        axes.set_xlim(0, _end(rates))
        axes.set_ylim(len(rates) - 0.5, -0.5)
        axes.locator_params(axis="x", nbins=3 if width == NARROW else 8)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_yticks(range(len(rates)), [said for said, _ in rates])
        axes.tick_params(axis="y", labelsize=SMALL, labelcolor=INK)
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("samples a second", color=MUTED)
        return to_svg(
            figure,
            name,
            f"Throughput of {one.program} on {one.target}",
            "Samples a second by samples a call and streams, with intervals.",
        )


def _end(rates: Sequence[tuple[str, Quantity]]) -> float:
    highest = max(per_s.high or per_s.value for _, per_s in rates)
    return min(1.08 * highest, _FAR * max(per_s.value for _, per_s in rates))
