"""Shares of time as sorted bars, and what each and all above it come to."""

from collections.abc import Sequence

from edgekd.report.charts.canvas import (
    COLOURS,
    GRID,
    INK,
    MUTED,
    NARROW,
    PAPER,
    SMALL,
    drawing,
    printable,
    to_svg,
)

Bar = tuple[str, float, float]
"""Name, share, and share of this and all above it."""
_ROW, _NAMED_ROW, _HEAD, _FOOT, _THICK = 26, 44, 12, 44, 14
_LONGEST, _LETTER = 34, 7.2
"""Letters of a name, and the width of one in most fonts."""
_SAID = 52
"""What a number behind a bar takes, in CSS pixels."""


def operators(bars: Sequence[Bar], title: str, name: str, width: int) -> str:
    """Return the SVG: a row per bar, on one axis of percent."""
    narrow = width == NARROW
    names = [_short(bar[0]) for bar in bars]
    row = _NAMED_ROW if narrow else _ROW
    left = 8 if narrow else max(map(len, names)) * _LETTER + 22
    high = row * len(bars) + _HEAD + _FOOT
    across = width - left - _SAID
    with drawing(width, high) as figure:
        box = (left / width, _FOOT / high, across / width, row * len(bars) / high)
        axes = figure.add_axes(box)
        axes.set_xlim(0, 100)
        axes.set_ylim(len(bars) - 0.5, -0.5)
        for place, (_, share, up_to) in enumerate(bars):
            where = place + (0.15 if narrow else 0)
            axes.barh(where, 100 * share, _THICK / row, color=COLOURS["step-3"], linewidth=0)
            axes.annotate(
                f"{100 * share:.1f}", (100 * share, where), xytext=(9, 0),
                textcoords="offset points", va="center", color=INK, fontsize=SMALL,
            )  # fmt: skip
            axes.plot(
                [100 * up_to], [where], "o", color=MUTED, markerfacecolor=PAPER,
                markeredgewidth=1.5, clip_on=False,
            )  # fmt: skip
            if narrow:
                axes.annotate(
                    names[place], (0, where - 0.24), va="bottom", color=INK, fontsize=SMALL,
                )  # fmt: skip
        axes.set_yticks(range(len(bars)), [""] * len(bars) if narrow else names)
        axes.tick_params(axis="y", labelsize=SMALL, labelcolor=INK)
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.spines["bottom"].set_color(GRID)
        axes.set_xlabel("% of the time in operators", color=MUTED)
        return to_svg(figure, name, title, "Sorted bars; a hollow mark is the share so far.")


def _short(path: str) -> str:
    """Return a name that fits, its end kept: that tells modules of one network apart."""
    text = printable(path, len(path))
    return text if len(text) <= _LONGEST else f"…{text[1 - _LONGEST :]}"
