"""Reliability: whether confidence can be believed."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from edgekd.ops.statistics import share_interval
from edgekd.report.charts.canvas import (
    MUTED,
    NARROW,
    drawing,
    printable,
    to_svg,
)
from edgekd.report.charts.roles import Look
from edgekd.report.schema.check import Row


def reliability(rows: Sequence[tuple[Row, Look]], target: str, name: str, width: int) -> str:
    """Return the SVG: accuracy over confidence per program, the counts of each bin below."""
    columns = 1 if width == NARROW else min(4, len(rows))
    lines = -(-len(rows) // columns)
    cell = 250 if columns > 1 else width - 16
    wide, high = cell * columns + 16, 330 * lines
    most = max(b.count for row, _ in rows for b in row.reliability)
    with drawing(wide, high) as figure:
        for index, (row, look) in enumerate(rows):
            line, column = divmod(index, columns)
            left, top = column * cell + 46, line * 330 + 34
            box = (left / wide, 1 - (top + 190) / high, (cell - 66) / wide, 190 / high)
            _bins(figure.add_axes(box), row, look, labelled=column == 0)
            box = (left / wide, 1 - (top + 246) / high, (cell - 66) / wide, 40 / high)
            _counts(figure.add_axes(box), row, look, most, labelled=column == 0)
        return to_svg(
            figure,
            name,
            f"Reliability on {target}",
            "Accuracy over confidence; on the diagonal, confidence can be believed. "
            "Bars count the examples of each bin.",
        )


def _bins(axes: Axes, row: Row, look: Look, *, labelled: bool) -> None:
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    for one in row.reliability:
        if one.count:
            ends = share_interval(round(one.accuracy * one.count), one.count)
            axes.plot([one.confidence] * 2, ends, color=look.colour, linewidth=1.2)
            axes.plot(
                [one.confidence], [one.accuracy], look.marker, color=look.colour, markersize=6,
                clip_on=False,
            )  # fmt: skip
    axes.set(xlim=(0, 1.02), ylim=(0, 1.04), title=printable(row.program))
    axes.set_xticks([0, 0.5, 1], ["", "", ""])
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.spines["left"].set_visible(False)
    if labelled:
        axes.set_ylabel("accuracy")


def _counts(axes: Axes, row: Row, look: Look, most: int, *, labelled: bool) -> None:
    axes.bar(
        [b.confidence for b in row.reliability], [b.count for b in row.reliability], width=0.05,
        color=look.colour,
    )  # fmt: skip
    axes.set(xlim=(0, 1.02), ylim=(0, most * 1.1), xlabel="confidence")
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_yticks([most], [f"{most:,}"])
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    if labelled:
        axes.set_ylabel("examples")
