"""Where to measure next, when more that goes means less time, but for what measuring adds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CLOSE = 0.05
"""A budget is reached where at most this share of it is left."""
FINEST = 1 / 256
"""Shares of a model that are as near as that are not told apart."""
EDGE = 0.1
"""Part of what is open that lies at least on either side of the next share."""


@dataclass(frozen=True)
class Standing:
    """What is known so far."""

    best: float | None
    """Smallest share that keeps the limit; None where none does."""
    following: float | None
    """Which share to measure next; None where enough is known."""


def standing(times: Mapping[float, float], limit: float) -> Standing:
    """Return how measurements of some shares stand against a limit of time.

    `times` gives the time by the share that went; the smallest share is as small as it can be.
    """
    shares = sorted(times)
    fitted = dict(zip(shares, falling([times[share] for share in shares]), strict=True))
    keeping = [share for share in shares if fitted[share] <= limit]
    if not keeping:
        return Standing(None, None)
    high = keeping[0]
    if high == shares[0]:
        return Standing(high, None)
    low = max(share for share in shares if share < high)
    if fitted[high] >= (1 - CLOSE) * limit or high - low <= FINEST:
        return Standing(high, None)
    aim = (1 - CLOSE / 2) * limit
    part = (fitted[low] - aim) / (fitted[low] - fitted[high])
    return Standing(high, low + (high - low) * min(max(part, EDGE), 1 - EDGE))


def falling(values: Sequence[float]) -> list[float]:
    """Return the never rising sequence nearest to the values in squares: neighbours are pooled."""
    pools: list[tuple[float, int]] = []
    for value in values:
        pools.append((value, 1))
        while len(pools) > 1 and pools[-2][0] < pools[-1][0]:
            (later, n), (earlier, m) = pools.pop(), pools.pop()
            pools.append(((earlier * m + later * n) / (m + n), m + n))
    return [value for value, count in pools for _ in range(count)]
