"""How long a program takes: to load, for its first answer, and for each one after.

Percentiles are over all measured runs; one that the number of runs does not support is left out.
Intervals rest on whole restarts.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from edgekd.core.config import Config
from edgekd.core.kinds import measure
from edgekd.core.quantity import Quantity
from edgekd.core.results import Restart
from edgekd.ops.statistics import (
    Floats,
    early_stopping_estimate,
    least_n,
    quantile,
    quantile_interval,
)

ESTIMATE = "latency_p90_estimate_ms"
"""What MLPerf LoadGen would call the p90 of these runs; no gate, because it has no interval."""
PERCENTILES = (50, 90, 95, 97, 99)


class Latency(Config):
    """Has no options."""


@measure(
    config=Latency,
    unit="ms",
    better="lower",
    bounds=(0.0, None),
    gates=(*(f"latency_p{p}_ms" for p in PERCENTILES), "load_ms", "first_ms"),
)
def latency(
    _config: Latency, *, latencies_ms: Sequence[Floats], restarts: Sequence[Restart]
) -> Mapping[str, Quantity]:
    """Return the percentiles in ms by gate name, and the median of each restart's start."""
    found = {}
    n = sum(map(len, latencies_ms))
    for percentile in PERCENTILES:
        if n >= least_n(percentile):
            found[f"latency_p{percentile}_ms"] = _quantity(latencies_ms, percentile / 100)
    estimate = early_stopping_estimate(np.concatenate(latencies_ms))
    if estimate is not None:
        found[ESTIMATE] = Quantity(estimate, "ms", None, None, n)
    for name in ("load_ms", "first_ms"):
        found[name] = _quantity([np.array([getattr(restart, name)]) for restart in restarts], 0.5)
    return found


def _quantity(restarts: Sequence[Floats], share: float) -> Quantity:
    low, high = quantile_interval(restarts, share) or (None, None)
    pooled = np.concatenate(restarts)
    return Quantity(quantile(pooled, share), "ms", low, high, len(pooled))
