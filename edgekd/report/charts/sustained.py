"""A long run over time: latency, temperature and frequency as panels that share the time axis."""

from collections.abc import Callable, Sequence

from edgekd.core.results import Window
from edgekd.report.charts.canvas import COLOURS, LIMIT, MUTED, drawing, to_svg
from edgekd.report.schema.load import LongRun

_FIRST, _OTHER, _GAP, _HEAD, _FOOT, _LEFT = 170, 90, 44, 30, 44, 58
Value = Callable[[Window], float | None]


def sustained(run: LongRun, name: str, width: int) -> str:
    """Return the SVG: a panel for latency, and one for each thing that could be read."""
    panels: list[tuple[str, Sequence[tuple[Value, str, float]], int]] = [
        ("Latency, ms", [(_p90, COLOURS["step-4"], 1.8), (_p50, MUTED, 1.0)], _FIRST)
    ]
    if "temperature" in run.readable:
        panels.append(("Temperature, C", [(_temperature, COLOURS["step-2"], 1.8)], _OTHER))
    if "frequency" in run.readable:
        panels.append(("Frequency, MHz", [(_frequency, COLOURS["step-2"], 1.8)], _OTHER))
    high = _HEAD + _FOOT + sum(tall for _, _, tall in panels) + _GAP * (len(panels) - 1)
    top = _HEAD
    with drawing(width, high) as figure:
        for title, curves, tall in panels:
            across, below = (width - _LEFT - 16) / width, 1 - (top + tall) / high
            box = (_LEFT / width, below, across, tall / high)
            axes = figure.add_axes(box)
            for value, colour, thick in curves:
                points = [(w.at_s, found) for w in run.windows if (found := value(w)) is not None]
                axes.plot([x for x, _ in points], [y for _, y in points], color=colour, lw=thick)
            axes.set_xlim(0, run.windows[-1].at_s)
            axes.set_ylim(*_span(axes.get_ylim(), from_zero=tall == _FIRST))
            axes.set_title(title)
            axes.spines["left"].set_visible(False)
            if run.throttled_after_s is not None:
                axes.axvline(run.throttled_after_s, color=LIMIT, lw=1.5, linestyle=(0, (5, 3)))
            if (title, curves, tall) == panels[-1]:
                axes.set_xlabel("seconds", color=MUTED)
            else:
                axes.tick_params(axis="x", labelbottom=False)
            top += tall + _GAP
        return to_svg(
            figure,
            name,
            f"{run.program} on {run.target} under sustained load",
            "p90 and p50 over time, with temperature and frequency where they could be read.",
        )


def _span(limits: tuple[float, float], *, from_zero: bool) -> tuple[float, float]:
    """Return the axis: latency from zero, what is read of a device not narrower than a tenth."""
    low, high = limits
    if from_zero:
        return 0.0, high
    room = max(0.0, 0.1 * high - (high - low)) / 2
    return low - room, high + room


def _p90(window: Window) -> float:
    return window.p90_ms


def _p50(window: Window) -> float:
    return window.p50_ms


def _temperature(window: Window) -> float | None:
    return window.temperature_c


def _frequency(window: Window) -> float | None:
    return window.frequency_mhz
