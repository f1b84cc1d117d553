"""How many times faster the program is than the reference, measured in turns with it."""

from collections.abc import Mapping, Sequence

import numpy as np

from edgekd.core.config import Config
from edgekd.core.kinds import measure
from edgekd.core.quantity import Quantity
from edgekd.ops.statistics import Floats, least_n, quantile, ratio_interval


class Speedup(Config):
    """Has no options."""


@measure(config=Speedup, unit="x", better="higher", bounds=(0.0, None))
def speedup(
    _config: Speedup, *, latencies_ms: Sequence[Floats], reference_latencies_ms: Sequence[Floats]
) -> Mapping[str, Quantity]:
    """Return the reference's median latency over the program's, restarts paired."""
    reference, own = (np.concatenate(r) for r in (reference_latencies_ms, latencies_ms))
    if min(len(reference), len(own)) < least_n(50):
        return {}
    low, high = ratio_interval(reference_latencies_ms, latencies_ms) or (None, None)
    value = quantile(reference, 0.5) / quantile(own, 0.5)
    return {"speedup": Quantity(value, "x", low, high, min(len(reference), len(own)))}
