"""Latency on one target: the distribution of every program, in rows on one logarithmic axis."""

from matplotlib.axes import Axes

from edgekd.core.results import Gate
from edgekd.report.charts.axes import log_axis, text_width
from edgekd.report.charts.canvas import (
    GRID,
    INK,
    LIMIT,
    MUTED,
    NARROW,
    PAPER,
    TEXT,
    drawing,
    printable,
    to_svg,
)
from edgekd.report.charts.roles import Look, looks
from edgekd.report.schema.check import Check, Row
from edgekd.report.words import clause, label

_ROW, _HEAD, _FOOT = 62, 40, 46
_SMOOTH = 100
"""From so many points on, steps cannot be seen and are not drawn."""
_FAR = 4.0
"""A limit this many times beyond the slowest p99 is named, not drawn to scale."""


def latency(check: Check, target: str, name: str, width: int) -> str:
    """Return the SVG; the axis is the same for all targets of the check."""
    rows = [row for row in check.rows if row.target == target and row.timing.ecdf]
    span = _span(check)
    narrow = width == NARROW
    left = 10 if narrow else text_width(row.program for row in rows) + 22
    row_high = _ROW + (20 if narrow else 0)
    high = row_high * len(rows) + _HEAD + _FOOT
    with drawing(width, high) as figure:
        box = (left / width, _FOOT / high, (width - left - 16) / width, row_high * len(rows) / high)
        axes = figure.add_axes(box)
        axes.set_ylim(len(rows), 0)
        axes.set_xlim(*span)
        for place, row in enumerate(rows):
            _row(axes, row, place, looks(check)[row.program], named=narrow)
        _limits(axes, check, target)
        log_axis(axes, 4 if narrow else 8)
        axes.set_xlim(*span)
        axes.set_yticks(
            [place + 0.55 for place in range(len(rows))],
            ["" if narrow else printable(row.program) for row in rows],
        )
        axes.tick_params(axis="y", labelsize=TEXT, labelcolor=INK)
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("ms, logarithmic", color=MUTED)
        return to_svg(
            figure,
            name,
            f"Distribution of latency on {target}",
            "Share of runs at or below each latency, one row per program; "
            "filled mark: p50, hollow mark: p90.",
        )


def _span(check: Check) -> tuple[float, float]:
    """Return the axis from the fastest run to the slowest p99, and to limits not far beyond.

    The last hundredth of the runs can be a thousand times slower; the tables have it.
    """
    curves = [row.timing.ecdf for row in check.rows if row.timing.ecdf]
    low = max(min(curve[0][0] for curve in curves), 1e-6)
    high = max(next(x for x, share in curve if share >= 0.99) for curve in curves)
    limits = [parts[1] for gate in check.gates if (parts := _limit(gate))]
    high = max([high, *(limit for limit in limits if limit < _FAR * high)])
    return low / 1.25, high * 1.25


def _limit(gate: Gate) -> tuple[str, float] | None:
    return clause(gate.limit) if gate.name.startswith("latency_p") else None


def _row(axes: Axes, row: Row, place: int, look: Look, *, named: bool) -> None:
    """Draw one distribution between the lines `place` + 1 (no run) and `place` + 0.2 (all)."""
    values = [value for value, _ in row.timing.ecdf]
    floor, tall = place + 0.94, 0.62 if named else 0.8
    heights = [floor - tall * share for _, share in row.timing.ecdf]
    axes.axhline(floor, color=GRID, linewidth=1)
    style = "steps-post" if len(values) < _SMOOTH else "default"
    axes.fill_between(
        values, heights, floor, step="post" if len(values) < _SMOOTH else None,
        color=look.colour, alpha=0.14, linewidth=0,
    )  # fmt: skip
    axes.plot(values, heights, color=look.colour, linewidth=1.6, drawstyle=style)
    for number, quantile in enumerate(("latency_p50_ms", "latency_p90_ms")):
        if quantile in row.quantities:
            share = (0.5, 0.9)[number]
            axes.plot(
                [row.quantities[quantile].value], [floor - tall * share], look.marker,
                color=look.colour, markerfacecolor=look.colour if number == 0 else PAPER,
                markeredgewidth=1.5, markersize=7,
            )  # fmt: skip
    if named:
        axes.annotate(
            printable(row.program), (0, place + 0.2), xycoords=("axes fraction", "data"),
            fontsize=TEXT, color=INK, va="center",
        )  # fmt: skip


def _limits(axes: Axes, check: Check, target: str) -> None:
    """Draw every latency that the gates allow here, with what it bounds."""
    seen = {
        (parts[1], gate.name)
        for gate in check.gates
        if gate.target == target and (parts := _limit(gate))
    }
    low, high = axes.get_xlim()
    for place, (bound, name) in enumerate(sorted(seen)):
        words = f"limit of {label(name).removeprefix('Latency ')}: {bound:g} ms"
        if bound < high:
            axes.axvline(bound, color=LIMIT, linewidth=1.5, linestyle=(0, (5, 3)))
        else:
            words += ", further right"
        end = bound > (low * high) ** 0.5
        axes.annotate(
            words, (min(max(bound, low), high), 1), xycoords=("data", "axes fraction"), color=INK,
            xytext=(-4 if end else 4, 6 + 15 * (place % 2)), textcoords="offset points",
            ha="right" if end else "left",
        )  # fmt: skip
