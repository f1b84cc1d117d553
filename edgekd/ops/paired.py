"""Student's paired t-test, and Holm's correction where several tests are made at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import atan, cos, pi, sin, sqrt

import numpy as np

from edgekd.ops.statistics import Interval, mean_interval

ALL_THE_SAME = 1e-12
"""Standard deviation below which values differ by rounding alone."""


@dataclass(frozen=True)
class Paired:
    """What pairs of values say of a difference of their means."""

    mean: float
    interval: Interval | None
    """95 %; None for one pair, which tells nothing of its own spread."""
    p: float | None
    """Two-sided, of no difference; None where the differences are one or all the same."""
    pairs: int


def paired_t(ones: Sequence[float], others: Sequence[float]) -> Paired:
    """Return the mean of `ones[i] - others[i]` with its interval and test.

    The test takes the differences for normal: with few pairs nothing could show that they are not.
    """
    differences = np.subtract(ones, others, dtype=np.float64)
    count, mean = len(differences), float(differences.mean())
    if count < 2:
        return Paired(mean, None, None, count)
    deviation = float(differences.std(ddof=1))
    if deviation < ALL_THE_SAME:  # infinitely sure by the formula, which is not to be believed
        return Paired(mean, (mean, mean), None, count)
    t = mean / (deviation / sqrt(count))
    return Paired(mean, mean_interval(differences), t_tails(t, count - 1), count)


def t_tails(t: float, freedom: int) -> float:
    """Return the probability that Student's t lies farther from 0 than `t`.

    The finite sums for whole degrees of freedom: Abramowitz and Stegun, 26.7.3 and 26.7.4.
    """
    angle = atan(abs(t) / sqrt(freedom))
    odd = freedom % 2
    term, total = (cos(angle) if odd else 1.0), 0.0
    for k in range(2 + odd, freedom + 1, 2):
        total += term
        term *= (k - 1) / k * cos(angle) ** 2
    inside = 2 / pi * (angle + sin(angle) * total) if odd else sin(angle) * total
    return min(1.0, max(0.0, 1 - inside))


def holm(probabilities: Sequence[float]) -> list[float]:
    """Return p values corrected so that all tests together err as often as one alone.

    Holm (1979): the k-th smallest of n is multiplied by n - k + 1; none becomes smaller than one
    before it, none larger than 1.
    """
    corrected, largest = [0.0] * len(probabilities), 0.0
    order = sorted(range(len(probabilities)), key=probabilities.__getitem__)
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * probabilities[index]))
        corrected[index] = largest
    return corrected
