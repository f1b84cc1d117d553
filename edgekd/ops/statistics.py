"""Intervals of quantiles, ratios and shares, and least sample counts. Everything is 95 %.

Latencies of one process are not independent (its memory layout, its neighbours), so intervals of
a percentile rest on whole restarts. A bootstrap cannot reach beyond the restarts that it has: of
a median it would hold the truth in half of all cases with 2 of them. So few restarts get
Student's interval over the logarithm of each one's own quantile, as if what differs between
restarts multiplied the latency by a lognormal factor. Many get a cluster bootstrap that assumes no
shape, its levels widened as in Hesterberg, "What Teachers Should Know about the Bootstrap" (2014),
section 5.2.
"""

from collections.abc import Sequence
from functools import cache
from math import ceil, comb, exp, log, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Interval = tuple[float, float]

CONFIDENCE = 0.95
Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
DRAWS = 4000
LEAST_TO_RESAMPLE = 6
"""Restarts from which on a bootstrap's interval of a median holds the truth often enough."""


def quantile(values: Floats, share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed."""
    rank = ceil(round(share * len(values), 9))
    return float(np.partition(values, max(rank, 1) - 1)[max(rank, 1) - 1])


def quantile_interval(restarts: Sequence[Floats], share: float) -> Interval | None:
    """Return the interval of a quantile of all values; None where there is one restart only.

    All values must be above 0. It is 95 % of a median, and of a tail quantile as far as restarts
    differ little beside runs; where they differ more, a restart slower than all that were seen
    makes up the tail of many, and few restarts cannot tell of it.
    """
    if len(restarts) < 2:
        return None
    if len(restarts) < LEAST_TO_RESAMPLE:
        return _of_few(_own_quantiles(restarts, share), quantile(np.concatenate(restarts), share))
    return _central(_resampled_quantiles(restarts, share, _draws(len(restarts))), len(restarts))


def ratio_interval(
    above: Sequence[Floats], below: Sequence[Floats], share: float = 0.5
) -> Interval | None:
    """Return the interval of a ratio of quantiles of two interleaved measurements.

    Restart i of both was taken in turns, so both are paired or resampled together: what slowed
    the machine for a while falls on both and cancels.
    """
    if len(above) != len(below):
        raise ValueError(f"restarts do not pair: {len(above)} and {len(below)}")
    if len(above) < 2:
        return None
    if len(above) < LEAST_TO_RESAMPLE:
        whole = [quantile(np.concatenate(side), share) for side in (above, below)]
        own = _own_quantiles(above, share) / _own_quantiles(below, share)
        return _of_few(own, whole[0] / whole[1])
    draws = _draws(len(above))
    ratios = _resampled_quantiles(above, share, draws) / _resampled_quantiles(below, share, draws)
    return _central(ratios, len(above))


def _own_quantiles(restarts: Sequence[Floats], share: float) -> Floats:
    return np.array([quantile(values, share) for values in restarts])


def _of_few(values: Floats, pooled: float) -> Interval:
    """Return the interval of a geometric mean, one value per restart.

    It reaches to the value of all restarts together, which is the one that is shown: the two part
    where a slow restart makes up the tail. Where a value is nothing, as a share of time can be, it
    is that of the arithmetic mean.
    """
    if (values > 0).all():
        low, high = np.exp(mean_interval(np.log(values)))
    else:
        low, high = np.maximum(mean_interval(values), 0)
    return min(pooled, float(low)), max(pooled, float(high))


def _draws(restarts: int) -> NDArray[np.int64]:
    """Return how often each draw takes each restart, [draws, restarts]."""
    rng = np.random.default_rng(0)
    return rng.multinomial(restarts, np.full(restarts, 1 / restarts), DRAWS).astype(np.int64)


def _resampled_quantiles(
    restarts: Sequence[Floats], share: float, draws: NDArray[np.int64]
) -> Floats:
    """Return the quantile of every draw, exactly, by bisection over the sorted values."""
    ordered = [np.sort(values) for values in restarts]
    pooled = np.sort(np.concatenate(ordered))
    need = np.ceil(np.round(share * (draws @ np.array([len(values) for values in ordered])), 9))
    low = np.zeros(len(draws), np.int64)
    high = np.full(len(draws), len(pooled) - 1)
    while (low < high).any():
        middle = (low + high) // 2
        ranks = np.stack([v.searchsorted(pooled[middle], "right") for v in ordered], 1)
        enough = (draws * ranks).sum(1) >= need
        low, high = np.where(enough, low, middle + 1), np.where(enough, middle, high)
    return pooled[low]


def _central(values: Floats, clusters: int) -> Interval:
    """Return the middle of a bootstrap distribution, widened for the number of clusters."""
    reach = sqrt(clusters / (clusters - 1)) * student_t(clusters - 1)
    tail = NormalDist().cdf(-reach)
    low, high = np.quantile(values, (tail, 1 - tail), method="inverted_cdf")
    return float(low), float(high)


def student_t(freedom: int) -> float:
    """Return the two-sided 95 % quantile of Student's t."""
    exact = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
    if freedom <= len(exact):
        return exact[freedom - 1]
    first = (Z**3 + Z) / 4
    second = (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96
    return Z + first / freedom + second / freedom**2


def share_interval(hits: int, count: int) -> Interval:
    """Return Wilson's interval of a share, which is never empty and stays within 0 and 1."""
    share = hits / count
    middle = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z * sqrt(share * (1 - share) / count + Z**2 / (4 * count**2)) / (1 + Z**2 / count)
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def paired_share_interval(gained: int, lost: int, count: int) -> Interval:
    """Return the interval of (lost - gained) / count for yes-or-no answers to the same examples.

    The adjusted Wald interval of Bonett and Price (2012): one is added to either kind of change,
    so that no observed change does not pretend to certainty.
    """
    more, less = (lost + 1) / (count + 2), (gained + 1) / (count + 2)
    half = Z * sqrt((more + less - (more - less) ** 2) / (count + 2))
    return max(-1.0, more - less - half), min(1.0, more - less + half)


def mean_interval(values: Floats) -> Interval:
    """Return the interval of a mean of independent values of any kind, by Student's t."""
    if len(values) < 2:
        return float("-inf"), float("inf")
    half = student_t(len(values) - 1) * values.std(ddof=1) / sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def early_stopping_estimate(
    values: Floats, percentile: int = 90, confidence: float = 0.99
) -> float | None:
    """Return MLPerf LoadGen's estimate of a percentile; None where values are too few.

    The slowest value that is left after as many of the slowest were discarded as LoadGen's early
    stopping for SingleStream discards: an upper bound of the percentile with this confidence, as
    far as the values are independent. With t the most slow values for which P(at most t of n are
    slow) <= 1 - confidence where a share of 1 - percentile is slow, t - 1 are discarded.
    """
    n, fast = len(values), percentile / 100
    slow, total, log_term = 0, 0.0, n * log(fast)  # a term alone is too small for a float
    while total + exp(log_term) <= 1 - confidence:
        total += exp(log_term)
        log_term += log((n - slow) / (slow + 1) * (1 - fast) / fast)
        slow += 1
    discarded = slow - 2
    if discarded < 0:
        return None
    place = n - 1 - discarded
    return float(np.partition(values, place)[place])


@cache
def least_n(percentile: int, confidence: float = 0.99) -> int:
    """Return the least number of runs that supports a percentile, in 50 to 99.

    The early-stopping rule of MLPerf LoadGen with one run above the percentile: the least n for
    which a share of slow runs as large as the percentile allows would show at most one of them
    with a probability of at most `1 - confidence`.
    """
    fast = percentile / 100
    n = 2
    while sum(comb(n, k) * (1 - fast) ** k * fast ** (n - k) for k in (0, 1)) > 1 - confidence:
        n += 1
    return n
