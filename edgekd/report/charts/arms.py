"""Arms of a comparison: every seed, and the mean with its interval, one row each."""

from matplotlib.ticker import MaxNLocator

from edgekd.report.charts.axes import interval, text_width
from edgekd.report.charts.canvas import COLOURS, MUTED, TEXT, WIDE, drawing, printable, to_svg
from edgekd.report.charts.roles import Look
from edgekd.report.schema.comparison import Arm, Comparison
from edgekd.report.sections.comparison import arm_label
from edgekd.report.words import label

_ROW = 38
_SHARES = {"share": 100.0}


def arms(comparison: Comparison, name: str, width: int) -> str:
    """Return the SVG: a row per arm, controls in grey."""
    shown = [arm for arm in comparison.arms if arm.mean]
    longest = 28 if width == WIDE else 16
    names = [printable(arm_label(comparison, arm), longest) for arm in shown]
    wide = min(width, WIDE * 2 // 3)
    left, rows_high = text_width(names) + 20, _ROW * len(shown)
    high = rows_high + 64
    with drawing(wide, high) as figure:
        axes = figure.add_axes(
            (left / wide, 44 / high, (wide - left - 24) / wide, rows_high / high)
        )
        unit = ""
        for place, arm in enumerate(shown):
            assert arm.mean
            look, unit = _look(arm, place), arm.mean.unit
            factor = _SHARES.get(unit, 1.0)
            values = [score.score.value * factor for score in arm.scores if score.score]
            axes.plot(
                values, [place + 0.24] * len(values), "o", color=look.colour, markersize=4,
                alpha=0.7,
            )  # fmt: skip
            interval(axes, arm.mean, place - 0.12, look, factor)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_yticks(range(len(shown)), names)
        axes.tick_params(axis="y", labelsize=TEXT, labelcolor=COLOURS["ink"])
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(5, min_n_ticks=2))
        axes.margins(x=0.08)
        axes.set_xlabel(f"{label(comparison.measure).lower()}, {'%' if unit == 'share' else unit}")
        return to_svg(
            figure,
            name,
            f"What was made from {comparison.stage}",
            f"{len(shown)} rows: every seed, and their mean with its 95 % interval.",
        )


def _look(arm: Arm, place: int) -> Look:
    """Return grey for controls, dark for the first, lighter for what is compared with it."""
    if arm.control:
        return Look(MUTED, "<")
    return Look(COLOURS["step-6"], "D") if place == 0 else Look(COLOURS["step-3"], "o")
