"""What several figures share: points with intervals, plain numbers on log axes, room for names."""

from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from edgekd.core.quantity import Quantity
from edgekd.report.charts.canvas import PAPER, printable
from edgekd.report.charts.roles import Look

_STEPS = (1.0, 2.0, 5.0)


def interval(
    axes: Axes,
    quantity: Quantity,
    y: float,
    look: Look,
    factor: float = 1.0,
    *,
    hollow: bool = False,
    width: float = 2,
) -> None:
    """Draw a point with its interval on the row `y`."""
    if quantity.low is not None and quantity.high is not None:
        ends = [quantity.low * factor, quantity.high * factor]
        axes.plot(ends, [y, y], color=look.colour, linewidth=width, solid_capstyle="butt")
    axes.plot(
        [quantity.value * factor], [y], look.marker, color=look.colour, markeredgewidth=1.5,
        markerfacecolor=PAPER if hollow else look.colour, markeredgecolor=look.colour,
    )  # fmt: skip


def log_axis(axes: Axes, most: int = 4) -> None:
    """Make the x axis logarithmic, with at most `most` round numbers written out plainly."""
    chosen = None if axes.get_autoscalex_on() else axes.get_xlim()
    axes.set_xscale("log")
    if chosen is None:
        axes.margins(x=0.18)
    low, high = chosen or axes.get_xlim()
    axes.xaxis.set_major_locator(FixedLocator(round_numbers(low, high, most)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(low, high)


def round_numbers(low: float, high: float, most: int) -> list[float]:
    """Return at most `most` of 1, 2, 5, 10, 20, ... between two positive numbers, evenly."""
    inside: list[float] = []
    for exponent in range(-9, 10):
        inside += [float(f"{step}e{exponent}") for step in _STEPS]
    inside = [value for value in inside if low <= value <= high]
    decades = [value for value in inside if f"{value:e}".startswith("1.")]
    if len(inside) > most and len(decades) >= 2:
        inside = decades
    return inside[:: -(-len(inside) // most)] if inside else [low, high]


def text_width(names: Iterable[str], size: float = 13.0) -> float:
    """Return a width in CSS pixels that holds the longest of the names in most fonts."""
    return max((len(printable(name)) for name in names), default=0) * size * 0.6
