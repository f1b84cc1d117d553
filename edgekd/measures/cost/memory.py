"""How much memory the process of a program needed at most, its runtime and inputs included."""

from collections.abc import Mapping, Sequence

import numpy as np

from edgekd.core.config import Config
from edgekd.core.kinds import measure
from edgekd.core.quantity import Quantity
from edgekd.core.results import Restart
from edgekd.ops.statistics import quantile, quantile_interval


class Memory(Config):
    """Has no options."""


@measure(config=Memory, unit="MiB", better="lower", bounds=(0.0, None), gates=("peak_rss_mib",))
def memory(_config: Memory, *, restarts: Sequence[Restart]) -> Mapping[str, Quantity]:
    """Return the median over restarts of the peak resident memory in MiB."""
    peaks = np.array([restart.peak_rss_mib for restart in restarts])
    low, high = quantile_interval(np.split(peaks, len(peaks)), 0.5) or (None, None)
    return {"peak_rss_mib": Quantity(quantile(peaks, 0.5), "MiB", low, high, len(peaks))}
