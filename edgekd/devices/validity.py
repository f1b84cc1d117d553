"""Whether a measurement may be believed, and what must be said with it."""

from collections.abc import Sequence
from statistics import median

from edgekd.core.results import NOT_VALID
from edgekd.devices.answers import Timing
from edgekd.devices.settings import Settings

BUSY_SHARE = 0.9


def objection(timings: Sequence[Timing], settings: Settings) -> str:
    """Return why a measurement is not valid, or nothing.

    One disturbed restart widens the interval and is no objection; most of them are.
    """
    if any(timing.throttled for timing in timings):
        return "the processor slowed itself for heat while it was measured"
    drifted = sum(abs(timing.restart.drift) > settings.max_drift for timing in timings)
    if 2 * drifted > len(timings):
        return (
            f"latency drifted by more than {settings.max_drift:.0%} within "
            f"{drifted} of {len(timings)} restarts"
        )
    restless = sum(not timing.restart.settled for timing in timings)
    if 2 * restless > len(timings):
        return f"warm-up windows never agreed in {restless} of {len(timings)} restarts"
    return ""


def notes(timings: Sequence[Timing], settings: Settings) -> list[str]:
    """Return what a reader of the numbers must know."""
    if not timings:
        return ["not timed: the target is emulated"]
    found = settings.departures()
    if why := objection(timings, settings):
        found.append(f"{NOT_VALID}{why}")
    share = median(timing.restart.cpu_s / timing.restart.wall_s for timing in timings)
    if share < BUSY_SHARE:
        found.append(f"the process had {share:.0%} of a core: others were busy beside it")
    if any("torch" in timing.modules for timing in timings):
        found.append("peak memory includes torch, which the runtime's Python binding loads")
    return found
