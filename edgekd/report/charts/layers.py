"""Layers: the error that each makes in 8 bits alone as bars, and what of the score it costs."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from edgekd.core.quantity import Quantity
from edgekd.report.charts.axes import interval, text_width
from edgekd.report.charts.canvas import (
    COLOURS,
    GRID,
    INK,
    LIMIT,
    MUTED,
    NARROW,
    PAPER,
    SMALL,
    WIDE,
    drawing,
    printable,
    to_svg,
)
from edgekd.report.charts.roles import Look
from edgekd.report.schema.sensitivity import LayerCost, Sensitivity
from edgekd.report.words import SCALES, label

_ROW, _NAMED_ROW, _HEAD, _FOOT, _GAP = 26, 42, 34, 28, 0.6
_LONGEST = {NARROW: 44, WIDE: 34}
"""Characters of a path: on a phone it stands above its bar, at a desk before it."""


def layers(one: Sensitivity, shown: Sequence[LayerCost], name: str, width: int) -> str:
    """Return the SVG: a row per layer, the most sensitive on top, what is between them below."""
    rows = [*shown, one.between]
    places = [*map(float, range(len(shown))), len(shown) + _GAP]
    names = [_short(layer.path or "between layers", width) for layer in rows]
    narrow = width == NARROW
    left = 6 if narrow else text_width(names, SMALL) + 12
    high = (_NAMED_ROW if narrow else _ROW) * (len(rows) + _GAP)
    panel_high, panels = high + _HEAD + _FOOT, 2 if narrow else 1
    with drawing(width, panel_high * panels) as figure:
        across = width - left if narrow else (width - left) / 2
        for panel, draw in enumerate((_errors, _losses)):
            down, right = (panel, 0) if narrow else (0, panel)
            axes = figure.add_axes(
                (
                    (left + right * across + 6) / width,
                    1 - (down * panel_high + _HEAD + high) / (panel_high * panels),
                    (across - 30) / width,
                    high / (panel_high * panels),
                )
            )
            draw(axes, one, rows, places)
            axes.set_ylim(places[-1] + 0.6, -0.7 if narrow else -0.6)
            axes.set_yticks(places, [""] * len(names) if narrow or panel else names)
            if narrow:
                _name_above(axes, names, places)
            axes.tick_params(axis="y", labelsize=SMALL, labelcolor=INK)
            axes.grid(visible=False, axis="y")
            axes.spines["left"].set_visible(False)
            axes.spines["bottom"].set_color(GRID)
        return to_svg(
            figure,
            name,
            f"Layers of {one.stage} in 8 bits alone",
            f"{len(shown)} layers by the error of the outputs, the most sensitive on top; beside "
            "it what of the score each costs.",
        )


def _short(path: str, width: int) -> str:
    """Return a path that fits, its end kept: that tells layers of one network apart."""
    longest = _LONGEST[width]
    text = printable(path, len(path))
    return text if len(text) <= longest else f"…{text[1 - longest :]}"


def _name_above(axes: Axes, names: Sequence[str], places: Sequence[float]) -> None:
    for name, place in zip(names, places, strict=True):
        axes.annotate(
            name, (0, place), xycoords=("axes fraction", "data"), xytext=(0, 10),
            textcoords="offset points", va="bottom", color=INK, fontsize=SMALL,
        )  # fmt: skip


def _colour(layer: LayerCost) -> str:
    return COLOURS["step-3"] if layer.path else MUTED


def _errors(axes: Axes, _: Sensitivity, rows: Sequence[LayerCost], places: Sequence[float]) -> None:
    height = 16 / (axes.bbox.height / (places[-1] + 1.2))
    for layer, place in zip(rows, places, strict=True):
        axes.barh(
            place, 100 * layer.error, height, linewidth=1.5, edgecolor=_colour(layer),
            color=PAPER if layer.excluded else _colour(layer),
        )  # fmt: skip
        axes.annotate(
            _said(layer), (100 * layer.error, place), xytext=(5, 0), textcoords="offset points",
            va="center", color=INK, fontsize=SMALL,
        )  # fmt: skip
    beside = text_width(map(_said, rows), SMALL) + 5
    longest = max(layer.error for layer in rows) or 1.0
    axes.set_xlim(0, 100 * longest / max(0.2, 1 - beside / axes.bbox.width))
    axes.xaxis.set_major_locator(MaxNLocator(4, min_n_ticks=2))
    axes.set_title("Output error, %")


def _said(layer: LayerCost) -> str:
    return str(Quantity(layer.error, "share")) + (", fp32" if layer.excluded else "")


def _losses(
    axes: Axes, one: Sensitivity, rows: Sequence[LayerCost], places: Sequence[float]
) -> None:
    unit = one.between.lost.unit
    factor = SCALES.get(unit, (1.0, ""))[0]
    axes.axvline(0, color=LIMIT, linewidth=1)
    for layer, place in zip(rows, places, strict=True):
        look = Look(_colour(layer), "o")
        interval(axes, layer.lost, place, look, factor, hollow=layer.excluded)
    axes.xaxis.set_major_locator(MaxNLocator(4, min_n_ticks=2))
    axes.set_title(f"{label(one.measure)} lost, {'pt' if unit == 'share_difference' else unit}")
