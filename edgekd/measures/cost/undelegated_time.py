"""Which share of its time a program spends outside the back-end that it was made for.

ExecuTorch times its operators itself; what XNNPACK did not take runs on portable kernels. ONNX
Runtime computes everything itself, so that the share is 0. Measured only where a gate asks for it.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from edgekd.core.config import Config
from edgekd.core.kinds import measure
from edgekd.core.quantity import Quantity
from edgekd.core.results import Restart
from edgekd.ops.statistics import quantile, quantile_interval


class UndelegatedTime(Config):
    """Has no options."""


@measure(config=UndelegatedTime, unit="share", better="lower", bounds=(0.0, 1.0))
def undelegated_time(
    _config: UndelegatedTime, *, restarts: Sequence[Restart]
) -> Mapping[str, Quantity]:
    """Return the median over restarts of the share; nothing where it was not asked for."""
    told = [restart.undelegated_time for restart in restarts]
    shares = np.array([share for share in told if share is not None])
    if not len(shares):
        return {}
    low, high = quantile_interval(np.split(shares, len(shares)), 0.5) or (None, None)
    found = Quantity(quantile(shares, 0.5), "share", low, high, len(shares))
    return {"undelegated_time": found}
