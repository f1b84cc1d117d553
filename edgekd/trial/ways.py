"""Ways of running a program for throughput: how much each answered, restart by restart."""

from collections.abc import Sequence
from itertools import product
from statistics import median

import numpy as np

from edgekd.core.quantity import Quantity
from edgekd.core.results import Rate
from edgekd.devices.answers import Failure, Streamed
from edgekd.ops.statistics import mean_interval

Way = tuple[int, int]
"""Examples a call, and streams."""


class Ways:
    """All pairs of batches and streams, and what was found of each."""

    def __init__(self, batches: Sequence[int], streams: Sequence[int], threads: int):
        self.found: dict[Way, list[Streamed]] = {way: [] for way in product(batches, streams)}
        self.failures: dict[Way, Failure] = {}
        self.threads = threads

    def left(self, *, backwards: bool) -> list[Way]:
        """Return the ways that have not failed, in either order."""
        ways = [way for way in self.found if way not in self.failures]
        return ways[::-1] if backwards else ways

    def note(self, way: Way, found: Streamed | Failure) -> None:
        """Take down one restart."""
        if isinstance(found, Failure):
            self.failures[way] = found
        else:
            self.found[way].append(found)

    def rates(self) -> list[Rate]:
        """Return every way with its samples a second, or why it has none."""
        return [self._rate(way, taken) for way, taken in self.found.items()]

    def _rate(self, way: Way, taken: Sequence[Streamed]) -> Rate:
        failed = self.failures.get(way)
        return Rate(
            samples_a_call=taken[0].samples_a_call if taken else way[0],
            streams=way[1],
            threads=self.threads,
            per_s=None if failed else per_second([each.per_s for each in taken]),
            cores=median(each.cores for each in taken) if taken else 0.0,
            failure=" ".join([failed.how, *failed.lines[-1:]]) if failed else "",
        )


def per_second(values: Sequence[float]) -> Quantity:
    """Return the geometric mean over restarts, with Student's interval over the logarithms."""
    logs = np.log(values)
    mean, several = float(np.exp(logs.mean())), len(values) > 1
    low, high = map(float, np.exp(mean_interval(logs)))
    return Quantity(
        mean, "samples/s", low if several else None, high if several else None, len(values)
    )
