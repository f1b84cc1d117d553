"""Training: every loss term and the validation score, one row of panels per trained stage."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from edgekd.report.charts.axes import text_width
from edgekd.report.charts.canvas import COLOURS, INK, MUTED, NARROW, drawing, printable, to_svg
from edgekd.report.schema.training import Training

_TALL = 230
LOSS = "loss"
"""What a pre-training is monitored by; scores are shares."""
Curve = tuple[str, list[tuple[int, float]], str]
"""Name, points, colour."""


def training(stages: Sequence[Training], name: str, width: int) -> str:
    """Return the SVG: loss terms beside the validation score that chose the epoch."""
    columns = 1 if width == NARROW else 2
    lines = len(stages) * 2 // columns
    room = max(text_width(_names(one), 12) for one in stages) + 14
    cell = width / columns
    with drawing(width, _TALL * lines) as figure:
        for index, stage in enumerate(stages):
            for half, draw in enumerate((_terms, _score)):
                line, column = divmod(2 * index + half, columns)
                box = (
                    (column * cell + 44) / width,
                    1 - (line * _TALL + _TALL - 48) / (_TALL * lines),
                    (cell - 44 - room) / width,
                    (_TALL - 84) / (_TALL * lines),
                )
                axes = figure.add_axes(box)
                draw(axes, stage, printable(stage.stage, 12 if columns == 1 else 30))
                axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
                axes.spines["left"].set_visible(False)
                axes.set_xlabel("epoch")
        return to_svg(
            figure,
            name,
            "Training curves",
            "For each trained stage the terms of the loss and the validation score by epoch.",
        )


def _names(stage: Training) -> list[str]:
    return ["total", *(term for epoch in stage.epochs for term in epoch.terms)]


def _terms(axes: Axes, stage: Training, title: str) -> None:
    names = list(dict.fromkeys(term for epoch in stage.epochs for term in epoch.terms))
    curves: list[Curve] = [
        (
            term,
            [(e.epoch, e.terms[term]) for e in stage.epochs if term in e.terms],
            COLOURS[f"term-{1 + index % 5}"],
        )
        for index, term in enumerate(names)
    ]
    if len(names) != 1:
        curves.append(("total", [(e.epoch, e.loss) for e in stage.epochs], MUTED))
    for term, _, colour in curves:
        told = [e for e in stage.epochs if term in e.spreads]
        axes.fill_between(
            [e.epoch for e in told],
            [e.terms[term] - e.spreads[term] for e in told],
            [e.terms[term] + e.spreads[term] for e in told],
            color=colour, alpha=0.15, linewidth=0,
        )  # fmt: skip
    _lines(axes, curves)
    axes.set_ylim(bottom=0 if all(y >= 0 for _, points, _ in curves for _, y in points) else None)
    axes.set_title(f"{title}: loss")


def _score(axes: Axes, stage: Training, title: str) -> None:
    share = stage.monitor != LOSS
    points = [
        (e.epoch, (100 if share else 1) * e.validation[stage.monitor])
        for e in stage.epochs
        if stage.monitor in e.validation
    ]
    axes.plot(
        [x for x, _ in points], [y for _, y in points], color=COLOURS["step-5"], linewidth=1.8
    )
    kept = dict(points).get(stage.best_epoch)
    if kept is not None:
        axes.plot([stage.best_epoch], [kept], "o", color=COLOURS["step-5"], markersize=7)
        side = "right" if stage.best_epoch > 0.8 * stage.epochs[-1].epoch else "left"
        axes.annotate(
            f"kept: {kept:{'.1f' if share else '.3g'}}", (stage.best_epoch, kept),
            xytext=(4, 8), textcoords="offset points", ha=side, color=INK,
        )  # fmt: skip
        axes.margins(y=0.2)  # the best is where the curve is highest: room for its words above
    axes.set_title(f"{title}: validation {stage.monitor}{', %' if share else ''}")


def _lines(axes: Axes, curves: Sequence[Curve]) -> None:
    """Draw curves with their names at the right end, pushed apart where they meet."""
    drawn = [curve for curve in curves if curve[1]]
    for _, points, colour in drawn:
        axes.plot([x for x, _ in points], [y for _, y in points], color=colour, linewidth=1.8)
    axes.autoscale_view()
    low, high = axes.get_ylim()
    gap = (high - low) * 14 / (_TALL - 84)
    floor = low
    for name, points, colour in sorted(drawn, key=lambda curve: curve[1][-1][1]):
        place = max(points[-1][1], floor)
        floor = place + gap
        axes.annotate(
            printable(name), (1, place), xycoords=("axes fraction", "data"), color=colour,
            xytext=(6, 0), textcoords="offset points", va="center", annotation_clip=False,
        )  # fmt: skip
