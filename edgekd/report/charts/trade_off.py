"""Quality against latency: every program, the front, and the region that the budget allows."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from edgekd.core.quantity import significant
from edgekd.report.charts.axes import log_axis
from edgekd.report.charts.canvas import (
    BUDGET,
    LIMIT,
    MUTED,
    NARROW,
    drawing,
    printable,
    to_svg,
)
from edgekd.report.charts.labels import place_labels
from edgekd.report.charts.roles import looks
from edgekd.report.schema.check import Check
from edgekd.report.schema.trade_off import Candidate, TradeOff
from edgekd.report.words import label

Span = tuple[float, float]
_FAR = 4.0
"""A limit this many times beyond the slowest program is named, not drawn to scale."""


def trade_off(check: Check, name: str, width: int) -> str:
    """Return the SVG: a panel per target, all on the same scales."""
    pictures = check.trade_offs
    columns = 1 if width == NARROW else min(2, len(pictures))
    lines = -(-len(pictures) // columns)
    wide = min(width, 640 * columns)
    cell, tall = wide / columns, 340 if width == NARROW else 420
    across, up = _across(pictures), _up(check)
    with drawing(wide, tall * lines) as figure:
        for index, picture in enumerate(pictures):
            line, column = divmod(index, columns)
            box = (
                (column * cell + 52) / wide,
                1 - (line * tall + tall - 56) / (tall * lines),
                (cell - 74) / wide,
                (tall - 92) / (tall * lines),
            )
            axes = figure.add_axes(box)
            axes.set(xlim=across, ylim=up)
            _budget(axes, picture)
            _front(axes, picture)
            _points(axes, check, picture)
            _frame(axes, picture)
        return to_svg(
            figure,
            name,
            "Quality against latency",
            "Further left is faster, further up is better. The stepped line joins the programs "
            "that no other beats in both; the shaded region is what the gates allow.",
        )


def _across(pictures: Sequence[TradeOff]) -> Span:
    """Return the axis of latency: all programs, and the limits that are not far beyond them."""
    times = [point.latency.value for picture in pictures for point in picture.points]
    limits = [picture.latency_limit_ms for picture in pictures]
    times += [limit for limit in limits if limit and limit < _FAR * max(times)]
    stretch = (max(times) / min(times)) ** 0.16 * 1.05
    return min(times) / stretch, max(times) * stretch


def _up(check: Check) -> Span:
    """Return the axis of quality: what is compared and shipped, and what lies near it.

    A step on the way that is far below, such as a pruned model before it recovers, would press
    all others together; it is shown at the lower edge, with its number.
    """
    middle = {step.program for step in check.steps if step.role == "along"}
    scores = [
        100 * value
        for picture in check.trade_offs
        for point in picture.points
        if point.program not in middle
        for value in (point.quality.value, point.quality.low, point.quality.high)
        if value is not None
    ]
    scores += [100 * floor for p in check.trade_offs if (floor := p.quality_floor) is not None]
    passed = [
        100 * p.quality.value for t in check.trade_offs for p in t.points if p.program in middle
    ]
    low, high = min(scores or passed), max(scores or passed)
    reach = 1.5 * max(high - low, 1.0)
    low = min([low, *(score for score in passed if score > low - reach)])
    high = max([high, *passed])
    room = 0.12 * max(high - low, 1.0)
    return low - room, high + room


def _budget(axes: Axes, picture: TradeOff) -> None:
    """Shade what the gates allow, and draw its borders."""
    limit, floor = picture.latency_limit_ms, picture.quality_floor
    if limit is None and floor is None:
        return
    (left, end), (low, high) = axes.get_xlim(), axes.get_ylim()
    right = end if limit is None else min(limit, end)
    bottom = low if floor is None else 100 * floor
    axes.fill_between([left, right], bottom, high, color=BUDGET, linewidth=0)
    edge: dict[str, Any] = {"color": LIMIT, "linewidth": 1.5, "linestyle": (0, (5, 3))}
    words = "allowed by the gates"
    if limit is not None and limit < end:
        axes.plot([limit, limit], [bottom, high], **edge)
    elif limit is not None:
        words += f", up to {limit:g} ms"
    if floor is not None:
        axes.plot([left, right], [bottom, bottom], **edge)
    axes.annotate(
        words, (left, high), xytext=(6, -5), textcoords="offset points", va="top", color=MUTED
    )


def _front(axes: Axes, picture: TradeOff) -> None:
    """Draw the best quality that can be had within each latency."""
    front = sorted((p.latency.value, 100 * p.quality.value) for p in picture.points if p.on_front)
    nexts = [*(x for x, _ in front[1:]), axes.get_xlim()[1]]
    corners = [
        corner
        for (x, y), until in zip(front, nexts, strict=True)
        for corner in ((x, y), (until, y))
    ]
    axes.plot([x for x, _ in corners], [y for _, y in corners], color=MUTED, linewidth=1.2)


def _points(axes: Axes, check: Check, picture: TradeOff) -> None:
    """Draw every program with both intervals; one below the axis at its edge, with its number."""
    named = []
    for point in picture.points:
        colour, marker = looks(check)[point.program].colour, looks(check)[point.program].marker
        x, y = point.latency, point.quality
        height = max(100 * y.value, axes.get_ylim()[0])
        below = 100 * y.value < axes.get_ylim()[0]
        if not below:
            _intervals(axes, point, colour)
        axes.plot(
            [x.value], [height], "v" if below else marker, color=colour, markersize=8, clip_on=False
        )
        name = printable(point.program, 16)
        named.append(
            (f"{name}: {significant(100 * y.value)} %" if below else name, x.value, height)
        )
    log_axis(axes, 5)
    place_labels(axes, named)


def _intervals(axes: Axes, point: Candidate, colour: str) -> None:
    x, y = point.latency, point.quality
    if x.low is not None and x.high is not None:
        axes.plot([x.low, x.high], [100 * y.value] * 2, color=colour, linewidth=1.5)
    if y.low is not None and y.high is not None:
        axes.plot([x.value] * 2, [100 * y.low, 100 * y.high], color=colour, linewidth=1.5)


def _frame(axes: Axes, picture: TradeOff) -> None:
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.spines["left"].set_visible(False)
    axes.set_title(printable(picture.target, 40))
    axes.set_xlabel(f"{label(picture.latency_name)}, ms, logarithmic")
    axes.set_ylabel(f"{label(picture.quality_name)}, %")
