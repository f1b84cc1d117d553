"""Latencies of a program on a target, and what its fresh processes took."""

from typing import Literal

from edgekd.report.schema.document import Document


class Spread(Document):
    """Middle and ends of a few values; no interval of confidence."""

    median: float
    lowest: float
    highest: float


class Energy(Document):
    """What a run takes, in millijoules."""

    mj_per_run: Spread
    origin: Literal["meter", "estimate"]
    """`meter`: counted for the processor's packages, with all else that ran there; `estimate`:
    processor time times the watts per core that the target's file states."""


class Start(Document):
    """What fresh processes took to start and to run, over all restarts."""

    restarts: int
    load_ms: Spread
    first_ms: Spread
    warmup_runs: Spread
    cpu_ms_per_run: Spread
    peak_rss_mib: Spread
    pss_mib: Spread | None = None
    """At the end, what is shared divided; None where the system does not tell."""
    energy: Energy | None = None
    """None where there is no meter and the target's file states no watts."""
    load_average: Spread
    drift: Spread
    """Median of the last window over the first, minus 1."""
    settled: bool
    """Whether every process had settled before its samples were taken."""


class Timing(Document):
    """All latencies of one program on one target."""

    samples: int
    ecdf: list[tuple[float, float]]
    """Latency in ms and the share of samples at or below it, thinned."""
    start: Start | None
    file: str
    """Where the raw samples lie, relative to the folder of the measuring stage."""
