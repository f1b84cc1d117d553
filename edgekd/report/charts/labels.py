"""Names beside points, where they cover no other name, point or line."""

from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axes import Axes

from edgekd.report.charts.axes import text_width
from edgekd.report.charts.canvas import INK, SMALL

Box = tuple[float, float, float, float]
_UPS = (5, -16, 19, -30, 33, -44)


def place_labels(axes: Axes, named: Sequence[tuple[str, float, float]]) -> None:
    """Write each name beside its point (x, y), on the side with least in the way.

    The axes' limits and scales must be final.
    """
    places = [axes.transData.transform((x, y)) for _, x, y in named]
    taken: list[Box] = [(x - 6, y - 6, x + 6, y + 6) for x, y in places] + _strokes(axes)
    frame = axes.get_window_extent().extents
    for (text, at, up), (x, y) in zip(named, places, strict=True):
        wide = text_width([text], SMALL)
        sides = [(dx, dy) for dy in _UPS for dx in (7.0, -7 - wide)]
        boxes = [(x + dx, y + dy, x + dx + wide, y + dy + 12) for dx, dy in sides]
        costs = [
            sum(_overlap(box, other) for other in taken) + _outside(box, frame) for box in boxes
        ]
        best = costs.index(min(costs))
        taken.append(boxes[best])
        left = sides[best][0] < 0
        axes.annotate(
            text, (at, up), xytext=(-7 if left else 7, sides[best][1]), color=INK,
            textcoords="offset points", ha="right" if left else "left", annotation_clip=False,
        )  # fmt: skip


def _strokes(axes: Axes) -> list[Box]:
    """Return the upright and level lines drawn so far as thin boxes."""
    return [
        (min(x, to_x) - 1, min(y, to_y) - 1, max(x, to_x) + 1, max(y, to_y) + 1)
        for line in axes.lines
        for (x, y), (to_x, to_y) in pairwise(axes.transData.transform(line.get_xydata()))
    ]


def _overlap(one: Box, other: Box) -> float:
    across = min(one[2], other[2]) - max(one[0], other[0])
    up = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, across) * max(0.0, up)


def _outside(box: Box, frame: Sequence[float]) -> float:
    """Return how far a box leaves the frame, as an area of cost."""
    over = max(0.0, frame[0] - box[0]) + max(0.0, box[2] - frame[2])
    return 20 * (over + max(0.0, frame[1] - box[1]) + max(0.0, box[3] - frame[3]))
