"""Latencies of one program: their distribution, and what its fresh processes took."""

from collections.abc import Callable, Sequence
from itertools import chain
from math import ceil
from statistics import median

from edgekd.core.results import Measurement, Restart
from edgekd.report.schema.timing import Energy, Spread, Start, Timing

POINTS = 160
"""Even points of a stored distribution: more than a screen shows; raw samples stay beside it."""
SHARES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 1.0)
"""Shares that are stored exactly, so that a table can name them."""


def timing(
    measurement: Measurement, samples: Sequence[Sequence[float]], watts_per_core: float | None
) -> Timing:
    """Return the distribution of all samples (ms, by restart) and the restarts in numbers.

    `watts_per_core` is what the target's file states.
    """
    restarts = measurement.restarts
    return Timing(
        samples=sum(map(len, samples)),
        ecdf=ecdf(list(chain.from_iterable(samples))),
        start=_start(restarts, watts_per_core) if restarts else None,
        file=measurement.samples,
    )


def ecdf(samples: Sequence[float]) -> list[tuple[float, float]]:
    """Return (value, share at or below it), thinned; the smallest and all `SHARES` are included."""
    ordered, count = sorted(samples), len(samples)
    ranks = {1 + round(i * (count - 1) / (POINTS - 1)) for i in range(POINTS)}
    ranks |= {ceil(share * count) for share in SHARES}
    return [(ordered[rank - 1], rank / count) for rank in sorted(ranks)] if count else []


def _start(restarts: Sequence[Restart], watts: float | None) -> Start:
    def spread(value: Callable[[Restart], float]) -> Spread:
        return _spread([value(restart) for restart in restarts])

    shared = [restart.pss_mib for restart in restarts if restart.pss_mib is not None]
    return Start(
        restarts=len(restarts),
        load_ms=spread(lambda r: r.load_ms),
        first_ms=spread(lambda r: r.first_ms),
        warmup_runs=spread(lambda r: r.warmup_runs),
        cpu_ms_per_run=spread(lambda r: 1000 * r.cpu_s / max(1, r.runs)),
        peak_rss_mib=spread(lambda r: r.peak_rss_mib),
        pss_mib=_spread(shared) if shared else None,
        energy=energy(restarts, watts),
        load_average=spread(lambda r: r.load_average),
        drift=spread(lambda r: r.drift),
        settled=all(r.settled for r in restarts),
    )


def energy(restarts: Sequence[Restart], watts_per_core: float | None) -> Energy | None:
    """Return what a run takes, as the meter says it, else from the power of a core, if stated."""
    metered = [(r.energy_j, r.runs) for r in restarts if r.energy_j is not None]
    if metered:
        spread = _spread([1000 * joules / max(1, runs) for joules, runs in metered])
        return Energy(mj_per_run=spread, origin="meter")
    if watts_per_core is None:
        return None
    spread = _spread([1000 * watts_per_core * r.cpu_s / max(1, r.runs) for r in restarts])
    return Energy(mj_per_run=spread, origin="estimate")


def _spread(values: Sequence[float]) -> Spread:
    return Spread(median=median(values), lowest=min(values), highest=max(values))
