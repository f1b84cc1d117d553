"""Step by step: quality, agreement, size and latency on one shared axis of steps."""

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from edgekd.core.quantity import Quantity, significant
from edgekd.report.charts.axes import interval, log_axis, text_width
from edgekd.report.charts.canvas import GRID, INK, MUTED, NARROW, TEXT, drawing, printable, to_svg
from edgekd.report.charts.roles import Look, looks
from edgekd.report.schema.check import Check
from edgekd.report.words import label, scores_of

_ROW, _LONGEST = 34, 16
_APART = 0.7
"""How many rows lie between the way and the controls."""
_SHARES = {"share": 100.0, "share_difference": 100.0}
"""What a panel shows: title, and the quantities in it (two where a second is drawn hollow)."""
Panel = tuple[str, tuple[str, ...]]


def waterfall(check: Check, target: str, name: str, width: int) -> str:
    """Return the SVG: one row per program, one panel per number, points with intervals."""
    rows = {row.program: row.quantities for row in check.rows if row.target == target}
    measured = {step.program: {**rows[step.program], "size_mib": step.size}
                for step in check.steps if step.program in rows}  # fmt: skip
    panels = _panels(check.quality_name, measured)
    columns = 1 if width == NARROW else len(panels)
    lines = -(-len(panels) // columns)
    controls = [step.program for step in check.steps if step.control and step.program in measured]
    rows_high = _ROW * (len(measured) + (_APART if controls else 0))
    places = {n: i + _APART * (n in controls) for i, n in enumerate(measured)}
    names = [printable(n, _LONGEST) for n in measured]
    high = rows_high + 74
    left = text_width(names) + 14
    with drawing(width, high * lines) as figure:
        across = (width - left) / columns
        for index, panel in enumerate(panels):
            row, column = divmod(index, columns)
            box = (
                (left + column * across + 8) / width,
                1 - (row * high + 36 + rows_high) / (high * lines),
                (across - 26) / width,
                rows_high / (high * lines),
            )
            axes = figure.add_axes(box)
            _panel(axes, panel, measured, places, looks(check))
            if controls:
                axes.axhline(len(measured) - len(controls) + _APART / 2 - 0.5, color=GRID)
            axes.set_yticks([*places.values()], names if column == 0 else [""] * len(names))
        return to_svg(
            figure,
            name,
            f"What each step became on {target}",
            f"{len(measured)} programs from {check.reference} on, one row each; panels: "
            + ", ".join(title for title, _ in panels),
        )


def _panels(quality: str, measured: Mapping[str, Mapping[str, Quantity]]) -> list[Panel]:
    wanted: list[Panel] = [
        *((label(name), (name,)) for name in scores_of(quality)),
        ("Size", ("size_mib",)),
        ("Latency p50, p90", ("latency_p50_ms", "latency_p90_ms")),
    ]
    have = {name for quantities in measured.values() for name in quantities}
    return [panel for panel in wanted if have & {*panel[1]}]


def _panel(
    axes: Axes,
    panel: Panel,
    measured: Mapping[str, Mapping[str, Quantity]],
    places: Mapping[str, float],
    look: Mapping[str, Look],
) -> None:
    title, quantities = panel
    unit = ""
    for program, values in measured.items():
        place = places[program]
        for number, name in enumerate(quantities):
            if name in values:
                unit = values[name].unit
                factor = _SHARES.get(unit, 1.0)
                interval(axes, values[name], place, look[program], factor, hollow=number > 0)
        if quantities[0] in values:
            first = values[quantities[0]]
            axes.annotate(
                significant(first.value * _SHARES.get(first.unit, 1.0)),
                (first.value * _SHARES.get(first.unit, 1.0), place),
                xytext=(0, 8), textcoords="offset points", ha="center", color=INK,
            )  # fmt: skip
    unit = {"share": "%", "share_difference": "pt"}.get(unit, unit)
    axes.set_title(f"{title}, {unit}")
    axes.set_ylim(max(places.values()) + 0.5, -0.7)
    axes.tick_params(axis="y", labelsize=TEXT, labelcolor=INK)
    axes.grid(visible=False, axis="x")
    axes.spines["left"].set_visible(False)
    if unit in ("MiB", "ms"):
        log_axis(axes)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4, min_n_ticks=2))
        axes.margins(x=0.14)
    axes.tick_params(axis="x", labelcolor=MUTED)
    axes.spines["bottom"].set_color(GRID)
