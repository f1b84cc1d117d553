"""Candidates exported and timed on the target, each in turns with the dense model.

What counts is a candidate's share of the dense model's time in the same turns: what slows the
machine for a while falls on both. Its latency is that share of the dense one's over all turns.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path

import numpy as np
from torch import nn

from edgekd.core.errors import StageError
from edgekd.core.protocols.runtime import Runtime
from edgekd.core.protocols.values import Batch
from edgekd.core.quantity import Quantity
from edgekd.core.signature import Signature
from edgekd.devices.answers import Failure, Timing
from edgekd.devices.bench import Session
from edgekd.devices.job import Job
from edgekd.devices.kept import Journal
from edgekd.devices.settings import settle
from edgekd.devices.target import Bench, Target
from edgekd.devices.validity import objection
from edgekd.models.weights import Shapes
from edgekd.ops.statistics import Floats, quantile, ratio_interval
from edgekd.transforms.budget import Latency

RESTLESS = 1.25
"""How many times longer one turn may take than another on a machine that is quiet enough."""
DENSE, PRUNED = "dense", "pruned"


@dataclass(eq=False)
class Candidate:
    """A pruned model that was timed."""

    ratio: float
    held: Mapping[str, float]
    """Ratios of their own, by module path."""
    shapes: Shapes
    parameters: int
    file: Path
    own: list[Floats] = field(default_factory=list)
    """Latencies in ms, by restart."""
    dense: list[Floats] = field(default_factory=list)
    """Those of the dense model in the same turns."""

    @property
    def share(self) -> float:
        """Its median over the dense model's."""
        return median(self.own) / median(self.dense)

    @property
    def interval(self) -> tuple[float, float]:
        """Where that share lies; restarts are paired."""
        return ratio_interval(self.own, self.dense) or (0.0, inf)


class InTurns:
    """Exports and times candidates.

    Args:
        wanted: the budget, which says for what runtime.
        target: the device.
        signature: of the model.
        samples: inputs to export with.
        inputs: folder with the inputs that are timed, one .npy each.
        work: folder that outlives an interruption: exports and timings are kept there.
        warn: takes what is likely wrong with a measurement.

    """

    def __init__(
        self,
        wanted: Latency,
        target: Target,
        *,
        signature: Signature,
        samples: Batch,
        inputs: Path,
        work: Path,
        warn: Callable[[str], None],
    ):
        self.wanted, self.target, self.signature = wanted, target, signature
        self.inputs, self.work, self.warn = inputs, work, warn
        self.settings = settle(target.bench, Bench(mode=wanted.mode))
        self.turns: list[Floats] = []
        """All latencies of the dense model, by restart."""
        runtime: Runtime = wanted.runtime.build()
        self._suffix = runtime.suffix
        self._export = partial(
            runtime.export,
            signature=signature,
            samples=samples,
            metadata={},
            quantization=None,
            calibration=(),
            activation="int8",
        )

    def program(self, model: nn.Module, name: str) -> Path:
        """Return the exported model; one that an interrupted run left is taken."""
        folder = self.work / name
        file = folder / f"program{self._suffix}"
        if not folder.exists():
            half = folder.with_name(f"{name}.half")
            shutil.rmtree(half, ignore_errors=True)
            half.mkdir(parents=True)
            self._export(model, out=half / file.name)
            half.rename(folder)
        return file

    def time(self, candidate: Candidate, dense: Path) -> None:
        """Time a candidate in turns with the dense model, as often as the settings say."""
        level = getattr(self.wanted.runtime.options, "graph_level", "all")
        jobs = [
            Job(name, file, self.wanted.runtime.kind, self.signature, level)
            for name, file in ((DENSE, dense), (PRUNED, candidate.file))
        ]
        session = Session(self.target, jobs, Journal(self.work / "measured"))
        timings: list[Timing] = []
        for number in range(len(candidate.own), len(candidate.own) + self.settings.restarts):
            timed = session.time([DENSE, PRUNED], self.inputs, self.settings, number)
            beside, own = (_sound(timed[name]) for name in (DENSE, PRUNED))
            candidate.dense.append(beside.latencies_ms)
            candidate.own.append(own.latencies_ms)
            self.turns.append(beside.latencies_ms)
            timings += [beside, own]
        if doubt := objection(timings, self.settings):
            self.warn(f"without {candidate.ratio:.3f}: {doubt}")

    def p50(self, candidate: Candidate) -> Quantity:
        """Return a candidate's median in ms; its interval is that of its share."""
        dense, n = median(self.turns), sum(map(len, candidate.own))
        low, high = (bound * dense for bound in candidate.interval)
        return Quantity(candidate.share * dense, "ms", low, high if high < inf else None, n)

    def dense_p50(self) -> Quantity:
        """Return the dense model's median in ms, over all turns."""
        return Quantity(median(self.turns), "ms", n=sum(map(len, self.turns)))

    def restlessness(self) -> str:
        """Return that the dense model's time is another in other turns, or nothing."""
        medians = [median([turn]) for turn in self.turns]
        if max(medians) <= RESTLESS * min(medians):
            return ""
        return (
            f"the dense model took from {min(medians):.3g} to {max(medians):.3g} ms in different "
            "turns: other work on the machine shapes these latencies. Measure on a quiet one."
        )


def median(restarts: Sequence[Floats]) -> float:
    """Return the median of all values."""
    return quantile(np.concatenate(restarts), 0.5)


def _sound(timed: Timing | Failure) -> Timing:
    if isinstance(timed, Failure):
        step = "Check that it runs by itself: give it to a validate stage."
        raise StageError(f"a candidate could not be timed: it {timed}", step)
    return timed
