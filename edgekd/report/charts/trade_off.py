"""Quality against latency: every program, the front, and the region that the budget allows."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from edgekd.report.charts.axes import log_axis, text_width
from edgekd.report.charts.canvas import (
    BUDGET,
    INK,
    LIMIT,
    MUTED,
    NARROW,
    SMALL,
    drawing,
    printable,
    to_svg,
)
from edgekd.report.charts.roles import looks
from edgekd.report.schema import Candidate, Check, TradeOff
from edgekd.report.words import label

Span = tuple[float, float]
Box = tuple[float, float, float, float]


def trade_off(check: Check, name: str, width: int) -> str:
    """Return the SVG: a panel per target, all on the same scales."""
    pictures = check.trade_offs
    columns = 1 if width == NARROW else min(2, len(pictures))
    lines = -(-len(pictures) // columns)
    wide = min(width, 640 * columns)
    cell, tall = wide / columns, 340 if width == NARROW else 420
    spans = _spans(pictures)
    with drawing(wide, tall * lines) as figure:
        for index, picture in enumerate(pictures):
            line, column = divmod(index, columns)
            box = (
                (column * cell + 52) / wide,
                1 - (line * tall + tall - 56) / (tall * lines),
                (cell - 74) / wide,
                (tall - 92) / (tall * lines),
            )
            _panel(figure.add_axes(box), check, picture, spans)
        return to_svg(
            figure,
            name,
            "Quality against latency",
            "Further left is faster, further up is better. The stepped line joins the programs "
            "that no other beats in both; the shaded region is what the gates allow.",
        )


def _spans(pictures: Sequence[TradeOff]) -> tuple[Span, Span]:
    points = [point for picture in pictures for point in picture.points]
    times = [p.latency.value for p in points]
    times += [x for picture in pictures if (x := picture.latency_limit_ms)]
    scores = [
        100 * v for p in points for v in (p.quality.low, p.quality.high, p.quality.value) if v
    ]
    scores += [100 * y for picture in pictures if (y := picture.quality_floor)]
    room = (max(scores) - min(scores) or 1) * 0.12
    stretch = (max(times) / min(times)) ** 0.16 * 1.05
    return (min(times) / stretch, max(times) * stretch), (min(scores) - room, max(scores) + room)


def _panel(axes: Axes, check: Check, picture: TradeOff, spans: tuple[Span, Span]) -> None:
    across, up = spans
    axes.set(xlim=across, ylim=up)
    _budget(axes, picture, across, up)
    front = sorted((p.latency.value, 100 * p.quality.value) for p in picture.points if p.on_front)
    if front:
        times, scores = [x for x, _ in front], [y for _, y in front]
        axes.step(
            [*times, across[1]], [*scores, scores[-1]], where="post", color=MUTED, linewidth=1.2
        )
    for point in picture.points:
        look = looks(check)[point.program]
        x, y = point.latency, point.quality
        if x.low is not None and x.high is not None:
            axes.plot([x.low, x.high], [100 * y.value] * 2, color=look.colour, linewidth=1.5)
        if y.low is not None and y.high is not None:
            axes.plot([x.value] * 2, [100 * y.low, 100 * y.high], color=look.colour, linewidth=1.5)
        axes.plot([x.value], [100 * y.value], look.marker, color=look.colour, markersize=8)
    log_axis(axes, 5)
    axes.set_xlim(across)
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.spines["left"].set_visible(False)
    axes.set_title(printable(picture.target, 40))
    axes.set_xlabel(f"{label(picture.latency_name)}, ms, logarithmic")
    axes.set_ylabel(f"{label(picture.quality_name)}, %")
    _labels(axes, picture.points)


def _budget(axes: Axes, picture: TradeOff, across: Span, up: Span) -> None:
    """Shade what the gates allow, and draw its borders."""
    limit, floor = picture.latency_limit_ms, picture.quality_floor
    if limit is None and floor is None:
        return
    right = across[1] if limit is None else limit
    bottom = up[0] if floor is None else 100 * floor
    axes.fill_between([across[0], right], bottom, up[1], color=BUDGET, linewidth=0)
    edge: dict[str, Any] = {"color": LIMIT, "linewidth": 1.5, "linestyle": (0, (5, 3))}
    if limit is not None:
        axes.plot([limit, limit], [bottom, up[1]], **edge)
    if floor is not None:
        axes.plot([across[0], right], [bottom, bottom], **edge)
    axes.annotate(
        "allowed by the gates", (across[0], up[1]), xytext=(6, -5), textcoords="offset points",
        va="top", color=MUTED,
    )  # fmt: skip


def _labels(axes: Axes, points: Sequence[Candidate]) -> None:
    """Write each name beside its point, on the side where it covers no other name or point."""
    places = [axes.transData.transform((p.latency.value, 100 * p.quality.value)) for p in points]
    taken: list[Box] = [(x - 6, y - 6, x + 6, y + 6) for x, y in places] + _strokes(axes)
    frame = axes.get_window_extent().extents
    for point, (x, y) in zip(points, places, strict=True):
        text = printable(point.program, 16)
        wide = text_width([text], SMALL)
        ups = (5, -16, 19, -30, 33, -44)
        sides = [(dx, dy) for dy in ups for dx in (7.0, -7 - wide)]
        boxes = [(x + dx, y + dy, x + dx + wide, y + dy + 12) for dx, dy in sides]
        costs = [
            sum(_overlap(box, other) for other in taken) + _outside(box, frame) for box in boxes
        ]
        best = costs.index(min(costs))
        taken.append(boxes[best])
        left = sides[best][0] < 0
        axes.annotate(
            text, (point.latency.value, 100 * point.quality.value), color=INK,
            xytext=(-7 if left else 7, sides[best][1]), textcoords="offset points",
            ha="right" if left else "left",
        )  # fmt: skip


def _strokes(axes: Axes) -> list[Box]:
    """Return the straight, upright or level lines drawn so far as thin boxes."""
    boxes: list[Box] = []
    for line in axes.lines:
        ends = axes.transData.transform(line.get_xydata())
        for (x, y), (to_x, to_y) in pairwise(ends):
            boxes.append((min(x, to_x) - 1, min(y, to_y) - 1, max(x, to_x) + 1, max(y, to_y) + 1))
    return boxes


def _overlap(one: Box, other: Box) -> float:
    across = min(one[2], other[2]) - max(one[0], other[0])
    up = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, across) * max(0.0, up)


def _outside(box: Box, frame: Sequence[float]) -> float:
    """Return how far a box leaves the frame, as an area of cost."""
    over = max(0.0, frame[0] - box[0]) + max(0.0, box[2] - frame[2])
    return 20 * (over + max(0.0, frame[1] - box[1]) + max(0.0, box[3] - frame[3]))
