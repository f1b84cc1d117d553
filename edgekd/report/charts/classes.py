"""Classes: the accuracy of each before and after, sorted by change."""

from collections.abc import Sequence

from matplotlib.ticker import MaxNLocator

from edgekd.core.quantity import Quantity
from edgekd.report.charts.axes import interval, text_width
from edgekd.report.charts.canvas import GRID, INK, TEXT, WIDE, drawing, printable, to_svg
from edgekd.report.charts.roles import Look
from edgekd.report.words import points_text

Change = tuple[str, Quantity, Quantity]
"""A class, its accuracy before and after."""


def class_dots(changed: Sequence[Change], looks: tuple[Look, Look], name: str, width: int) -> str:
    """Return the SVG: a row per class, the accuracy before and after, and the change."""
    wide = min(width, WIDE * 2 // 3)
    left, right, high = text_width(c for c, *_ in changed) + 20, 84, 32 * len(changed) + 84
    with drawing(wide, high) as figure:
        axes = figure.add_axes(
            (left / wide, 44 / high, (wide - left - right) / wide, 32 * len(changed) / high)
        )
        for place, (_, old, new) in enumerate(changed):
            ends = [100 * old.value, 100 * new.value]
            axes.plot(ends, [place, place], color=GRID, linewidth=6, solid_capstyle="butt")
            interval(axes, old, place - 0.14, looks[0], 100, width=1)
            interval(axes, new, place + 0.14, looks[1], 100, width=1)
            axes.annotate(
                points_text(old, new), (1, place),
                xycoords=("axes fraction", "data"), xytext=(right - 12, 0),
                textcoords="offset points", ha="right", va="center", color=INK,
            )  # fmt: skip
        axes.set_ylim(len(changed) - 0.4, -0.6)
        axes.set_yticks(range(len(changed)), [printable(c) for c, *_ in changed])
        axes.tick_params(axis="y", labelsize=TEXT, labelcolor=INK)
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=True))
        axes.set_xlabel("accuracy of the class, %")
        return to_svg(
            figure,
            name,
            "Accuracy by class, before and after",
            "One row per class, sorted by change, worst first.",
        )
