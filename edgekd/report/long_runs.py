"""What became of a program's latency while it ran for minutes."""

from collections.abc import Callable, Sequence
from statistics import median

from edgekd.core.results import Measurement, Window
from edgekd.report.schema.load import LongRun

PART = 10
"""The first and the last tenth of the time are compared."""
SLOWER, CLOCK = 1.1, 0.9
"""Share of the first windows' latency, or frequency, from which on it counts."""
LASTING = 3
"""Windows in a row for which it must be so: one may have been disturbed."""


def long_run(measurement: Measurement) -> LongRun:
    """Return the long run of a measurement that has one, with when it became slower and why."""
    run = measurement.sustained
    assert run, "only measurements with a long run are asked"
    windows = run.windows
    tenth = max(1, len(windows) // PART)
    first, last = windows[:tenth], windows[-tenth:]
    after, seen_by = _throttled(windows, first)
    usual = median(window.p50_ms for window in first)
    return LongRun(
        program=measurement.program,
        target=measurement.target,
        seconds=run.seconds,
        windows=windows,
        p90_first_ms=median(window.p90_ms for window in first),
        p90_last_ms=median(window.p90_ms for window in last),
        throttled_after_s=after,
        seen_by=seen_by,
        readable=[*_readable(windows)],
        slower_after_s=_from(windows, lambda window: window.p50_ms > SLOWER * usual),
    )


def _readable(windows: Sequence[Window]) -> list[str]:
    read = {
        "temperature": any(window.temperature_c is not None for window in windows),
        "frequency": any(window.frequency_mhz is not None for window in windows),
    }
    return [name for name, is_read in read.items() if is_read]


def _throttled(windows: Sequence[Window], first: Sequence[Window]) -> tuple[float | None, str]:
    """Return when a core was slowed for heat, and what tells so."""
    counted = next((window.at_s for window in windows if window.throttled), None)
    if counted is not None:
        return counted, "the kernel's counter"
    clocks = [window.frequency_mhz for window in first if window.frequency_mhz]
    if not clocks:
        return None, ""
    least = CLOCK * max(clocks)
    dropped = _from(windows, lambda window: (window.frequency_mhz or least) < least)
    return dropped, "the clock" if dropped is not None else ""


def _from(windows: Sequence[Window], so: Callable[[Window], bool]) -> float | None:
    """Return when the first of enough windows in a row ended that are so."""
    for start in range(len(windows) - LASTING + 1):
        if all(so(window) for window in windows[start : start + LASTING]):
            return windows[start].at_s
    return None
