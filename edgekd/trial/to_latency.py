"""The least of a model that must go so that its program is fast enough, found on real exports.

Every candidate is exported and timed on the target in turns with the dense model, in fresh
processes. What counts is its share of the dense model's time in the same turns: what slows the
machine for a while falls on both. Its latency is that share of the dense one's over all turns.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from edgekd.core.artifact import digest_json
from edgekd.core.errors import StageError
from edgekd.core.protocols import Batch, Runtime
from edgekd.core.quantity import Quantity
from edgekd.core.signature import Signature
from edgekd.devices.answers import Failure, Timing
from edgekd.devices.bench import Session
from edgekd.devices.job import Job
from edgekd.devices.kept import Journal
from edgekd.devices.settings import settle
from edgekd.devices.target import Bench, Target
from edgekd.devices.validity import objection
from edgekd.models.weights import Shapes, shapes_of
from edgekd.ops.statistics import Floats, quantile, ratio_interval
from edgekd.transforms.budget import Latency
from edgekd.trial.narrowing import CLOSE, standing

MOST = 18
"""Candidates that are measured at most."""
HOLDS = 3
"""How often layers that are too coarse are held while others get channels back."""
Remove = Callable[[float, Mapping[str, float]], nn.Module]
"""Takes a ratio, and ratios of their own for some layers by module path."""
RESTLESS = 1.25
"""How many times longer one turn may take than another on a machine that is quiet enough."""
DENSE, PRUNED = "dense", "pruned"


@dataclass
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
        return _median(self.own) / _median(self.dense)

    @property
    def interval(self) -> tuple[float, float]:
        """Where that share lies; restarts are paired."""
        return ratio_interval(self.own, self.dense) or (0.0, inf)


@dataclass(frozen=True)
class Found:
    """What came of a search."""

    model: nn.Module
    ratio: float
    ratios: Mapping[str, float]
    """Those of layers that were held, by module path."""
    p50: Quantity
    dense: Quantity
    candidates: Sequence[Mapping[str, Any]]
    """All that were measured, in the order of what went."""


class Search:
    """Looks for the smallest ratio that keeps a budget in latency.

    Args:
        wanted: the budget.
        target: the device.
        remove: gives the model without a share of it.
        holds: whether `remove` follows ratios of single layers.
        most: the largest share that may go.
        signature: of the model.
        samples: inputs to export with.
        inputs: folder with the inputs that are timed, one .npy each.
        work: folder that outlives an interruption: exports and timings are kept there.
        tell: takes how many candidates are done and what the last one came to.
        warn: takes what is likely wrong with a measurement.

    """

    def __init__(
        self,
        wanted: Latency,
        target: Target,
        *,
        remove: Remove,
        holds: bool,
        most: float,
        signature: Signature,
        samples: Batch,
        inputs: Path,
        work: Path,
        tell: Callable[[int, int, str], None],
        warn: Callable[[str], None],
    ):
        self.wanted, self.target, self.remove = wanted, target, remove
        self.most, self.holds = most, HOLDS if holds else 0
        self.signature, self.inputs, self.work = signature, inputs, work
        self.tell, self.warn = tell, warn
        self.settings = settle(target.bench, Bench(mode=wanted.mode))
        self.runtime: Runtime = wanted.runtime.build()
        self._export = partial(
            self.runtime.export,
            signature=signature,
            samples=samples,
            metadata={},
            quantization=None,
            calibration=(),
            activation="int8",
        )
        dense = remove(0.0, {})
        self._whole = shapes_of(dense.state_dict())
        self._held: dict[str, float] = {}
        self._dense = self._program(dense, 0.0)
        self._by_ratio: dict[float, Candidate] = {}
        self._by_shapes: dict[str, Candidate] = {}

    def search(self) -> Found:
        """Return what was found; StageError where nothing is fast enough, or a program fails."""
        self._try(self.most)
        best = self._narrow()
        for _ in range(self.holds):
            if best is None or self._is_close(best) or not self._hold(best):
                break
            best = max(best, self._narrow() or best, key=lambda one: one.share)
        return self._found(best)

    def _narrow(self) -> Candidate | None:
        """Return the slowest that keeps the budget; None where the dense model does.

        StageError where none does.
        """
        while self._limit < 1:
            shares = {ratio: candidate.share for ratio, candidate in self._by_ratio.items()}
            now = standing(shares if self._held else {0.0: 1.0, **shares}, self._limit)
            last = self._by_ratio[max(shares) if now.best is None else now.best]
            if now.following is not None and len(self._by_shapes) < MOST:
                self._try(now.following)
            elif len(last.own) <= self.settings.restarts or self._is_open(last):
                self._time(last)  # what was chosen for its time is timed once more
            elif now.best is None:
                raise self._out_of_reach(last)
            else:
                return last
        return None

    def _hold(self, best: Candidate) -> bool:
        """Hold the layers whose next width would be too slow; tell whether there are some.

        A width may belong to many layers, so that time falls by much at once. What falls too far
        is given back by all others.
        """
        ratio = max(ratio for ratio, one in self._by_ratio.items() if one is best)
        slower = max((r for r in self._by_ratio if r < ratio), default=None)
        before = self._whole if slower is None else self._by_ratio[slower].shapes
        fell = {
            name: before[name][0] - shape[0]
            for name, shape in best.shapes.items()
            if len(shape) > 1 and shape[0] != before[name][0]
        }
        if not fell or ratio == 0:
            return False
        falling = {
            name.rpartition(".")[0]: 1 - best.shapes[name][0] / self._whole[name][0]
            for name, channels in fell.items()
            if channels >= max(fell.values()) / 2  # others are fine enough to give back
        }
        self._held |= falling
        self._by_ratio = {ratio: best}
        self._try(0.0)
        return True

    def _is_close(self, candidate: Candidate) -> bool:
        return candidate.share >= (1 - CLOSE) * self._limit

    @property
    def _limit(self) -> float:
        """The budget as a share of the dense model's time."""
        return self.wanted.p50_ms / _median(self._turns)

    @property
    def _turns(self) -> list[Floats]:
        """All latencies of the dense model, by restart."""
        return [turn for candidate in self._by_shapes.values() for turn in candidate.dense]

    def _try(self, ratio: float) -> None:
        """Measure a ratio, unless one that leaves the same widths was measured."""
        model = self.remove(ratio, self._held)
        shapes = shapes_of(model.state_dict())
        key = digest_json([[name, *shape] for name, shape in shapes.items()])
        if key not in self._by_shapes:
            parameters = sum(parameter.numel() for parameter in model.parameters())
            file = self._program(model, ratio)
            candidate = Candidate(ratio, dict(self._held), shapes, parameters, file)
            self._by_shapes[key] = candidate
            self._time(candidate)
            while self._is_open(candidate):
                self._time(candidate)
        self._by_ratio[ratio] = self._by_shapes[key]

    def _is_open(self, candidate: Candidate) -> bool:
        """Tell whether more restarts are due: its interval is wide, and the limit lies in it."""
        low, high = candidate.interval
        wide = high - low > 2 * CLOSE * candidate.share and low <= self._limit <= high
        return wide and len(candidate.own) < self.settings.max_restarts

    def _program(self, model: nn.Module, ratio: float) -> Path:
        """Return the exported model; one that an interrupted run left is taken."""
        held = f"-{digest_json(self._held)[:12]}" if self._held else ""
        folder = self.work / f"without-{ratio:.9f}{held}"
        file = folder / f"program{self.runtime.suffix}"
        if not folder.exists():
            half = folder.with_name(f"{folder.name}.half")
            shutil.rmtree(half, ignore_errors=True)
            half.mkdir(parents=True)
            self._export(model, out=half / file.name)
            half.rename(folder)
        return file

    def _time(self, candidate: Candidate) -> None:
        """Time a candidate in turns with the dense model, as often as the settings say."""
        level = getattr(self.wanted.runtime.options, "graph_level", "all")
        jobs = [
            Job(name, file, self.wanted.runtime.kind, self.signature, level)
            for name, file in ((DENSE, self._dense), (PRUNED, candidate.file))
        ]
        session = Session(self.target, jobs, Journal(self.work / "measured"))
        timings: list[Timing] = []
        for number in range(len(candidate.own), len(candidate.own) + self.settings.restarts):
            timed = session.time([DENSE, PRUNED], self.inputs, self.settings, number)
            dense, own = (_sound(timed[name]) for name in (DENSE, PRUNED))
            candidate.dense.append(dense.latencies_ms)
            candidate.own.append(own.latencies_ms)
            timings += [dense, own]
        if doubt := objection(timings, self.settings):
            self.warn(f"without {candidate.ratio:.3f}: {doubt}")
        said = f"{candidate.share:.2f} of the dense model's time without {candidate.ratio:.3f}"
        self.tell(len(self._by_shapes), MOST, said)

    def _out_of_reach(self, least: Candidate) -> StageError:
        return StageError(
            f"pruning cannot reach a p50 of {self.wanted.p50_ms:g} ms with "
            f"{self.wanted.runtime.kind} on {self.wanted.target}: the dense model takes "
            f"{self._dense_ms()}, and the least that these options leave {self._ms(least)}.",
            "Raise the budget, lower round_to, raise max_ratio, or begin with a smaller model.",
        )

    def _found(self, best: Candidate | None) -> Found:
        medians = [_median([turn]) for turn in self._turns]
        if max(medians) > RESTLESS * min(medians):
            self.warn(
                f"the dense model took from {min(medians):.3g} to {max(medians):.3g} ms in "
                "different turns: other work on the machine shapes these latencies. Measure on a "
                "quiet one."
            )
        tried = sorted(self._by_shapes.values(), key=lambda one: one.ratio)
        ratio, held = (best.ratio, best.held) if best else (0.0, {})
        return Found(
            self.remove(ratio, held),
            ratio,
            held,
            self._ms(best) if best else self._dense_ms(),
            self._dense_ms(),
            [self._described(one) for one in tried],
        )

    def _described(self, candidate: Candidate) -> Mapping[str, Any]:
        p50 = self._ms(candidate)
        return {
            "ratio": candidate.ratio,
            "ratios": dict(candidate.held),
            "parameters": candidate.parameters,
            "p50_ms": [p50.value, p50.low, p50.high],
            "share_of_dense": candidate.share,
            "restarts": len(candidate.own),
        }

    def _ms(self, candidate: Candidate) -> Quantity:
        """Return a candidate's median; its interval is that of its share."""
        dense, n = _median(self._turns), sum(map(len, candidate.own))
        low, high = (bound * dense for bound in candidate.interval)
        return Quantity(candidate.share * dense, "ms", low, high if high < inf else None, n)

    def _dense_ms(self) -> Quantity:
        return Quantity(_median(self._turns), "ms", n=sum(map(len, self._turns)))


def close(found: Found, wanted: Latency) -> bool:
    """Tell whether hardly anything of the budget is left."""
    return found.p50.value >= (1 - CLOSE) * wanted.p50_ms


def _median(restarts: Sequence[Floats]) -> float:
    return quantile(np.concatenate(restarts), 0.5)


def _sound(timed: Timing | Failure) -> Timing:
    if isinstance(timed, Failure):
        step = "Check that it runs by itself: give it to a validate stage."
        raise StageError(f"a candidate could not be timed: it {timed}", step)
    return timed
