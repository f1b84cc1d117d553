"""Programs against each other on one target: the fastest of those that answer well enough.

Each is scored on what it answers there. Those that keep the budget are timed in turns, in fresh
processes; one that is far behind is timed no further, so that time goes where it decides.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgekd.core import kinds
from edgekd.core.errors import StageError
from edgekd.core.quantity import Quantity
from edgekd.core.results import Profile
from edgekd.devices.answers import Failure, Timing
from edgekd.devices.bench import Session
from edgekd.devices.kept import Journal
from edgekd.devices.settings import Settings
from edgekd.devices.target import Target
from edgekd.devices.validity import objection
from edgekd.measures.scorecard import measure_all
from edgekd.ops.statistics import quantile
from edgekd.trial.entry import Entry
from edgekd.trial.inputs import Inputs
from edgekd.trial.on_target import Progress, signals, undefined

FAR_BEHIND = 1.5
"""How many times the fastest one's median a program may take and still be timed again."""
ROUNDING = 1e-9
ALIKE = 1.02
"""Within this factor of the fastest one's median, what a program loses decides."""


@dataclass(frozen=True)
class Budget:
    """What a program may lose against the first one."""

    quality: str
    """The measure, by the name of its gate."""
    most: float
    """In the measure's own unit."""


@dataclass(eq=False)
class Racer:
    """What is known of one program."""

    entry: Entry
    quantities: dict[str, Quantity] = field(default_factory=dict)
    lost: float = 0.0
    """How much worse it answers than the first program, in the unit of the budget's measure."""
    timings: list[Timing] = field(default_factory=list)
    out: str = ""
    """Why it cannot be taken: it failed, or loses too much."""
    behind: str = ""
    """Why it is timed no further for now: others are much faster."""

    @property
    def median_ms(self) -> float:
        """The median of all runs so far."""
        return quantile(np.concatenate([timing.latencies_ms for timing in self.timings]), 0.5)


class Race:
    """Scores, times and ranks; the first entry is what others may not fall short of.

    Entries with the same file answer alike, so that one of them is scored. The fastest of those
    named in `baselines` is timed to the end, whatever it takes: others are compared with it. Any
    other is timed no further while it takes more than `far_behind` times as long as the fastest.
    """

    def __init__(
        self,
        target: Target,
        entries: Sequence[Entry],
        *,
        baselines: Sequence[str],
        inputs: Inputs,
        settings: Settings,
        budget: Budget,
        journal: Journal,
        far_behind: float = FAR_BEHIND,
    ):
        self.far_behind = far_behind
        self.inputs, self.settings, self.budget = inputs, settings, budget
        self.baselines = baselines
        self.racers = [Racer(entry) for entry in entries]
        self.session = Session(target, [entry.job for entry in entries], journal)

    def run(self, progress: Progress) -> Racer:
        """Return the program to take; StageError where none can be."""
        self.session.tell(lambda why: progress(0, self.settings.restarts, why))
        self._score(progress)
        self._check_reference()
        for number in range(self.settings.restarts):
            progress(number, self.settings.restarts, "timing the candidates")
            self._time(number)
        self._compare()
        running = [racer for racer in self.racers if not racer.out]
        if not running:
            raise StageError(
                "no program can be chosen:\n"
                + "\n".join(f"  {r.entry.name}: {r.out}" for r in self.racers),
                "Allow more with max_drop, or look at why they fail.",
            )
        best = min(racer.median_ms for racer in running)
        alike = [racer for racer in running if racer.median_ms <= ALIKE * best]
        return min(alike, key=lambda r: (r.lost, r.entry.size_bytes, r.median_ms))

    def baseline(self) -> Racer | None:
        """Return the fastest program among the baselines; None where all of them failed."""
        named = [r for r in self.racers if r.entry.name in self.baselines and r.timings]
        return min(named, key=lambda racer: racer.median_ms, default=None)

    def profile(self, name: str) -> Profile | Failure | None:
        """Return what the operators of a program took; None where its runtime does not tell."""
        return self.session.profile(name, self.inputs.samples, self.settings)

    def doubts(self, racers: Iterable[Racer | None]) -> Iterator[str]:
        """Yield why the timings of some programs should not be believed."""
        for racer in dict.fromkeys(r for r in racers if r and r.timings):
            if why := objection(racer.timings, self.settings):
                yield f"the timing of {racer.entry.name} is not valid: {why}"

    def _score(self, progress: Progress) -> None:
        """Score one program of each file, and put out what fails or loses too much."""
        seen: dict[Path, dict[str, Any] | Failure] = {}
        expected: dict[str, Any] = {"reference_size_bytes": self.racers[0].entry.size_bytes}
        for number, racer in enumerate(self.racers):
            progress(number, len(self.racers), "scoring the candidates")
            file = racer.entry.file
            if file not in seen:
                seen[file] = self._answers(racer.entry)
            own = seen[file]
            if isinstance(own, Failure):
                racer.out = own.how
                continue
            if racer is self.racers[0]:
                expected |= signals("teacher", own)
            evidence = {**self.inputs.columns, **signals("student", own), **expected}
            racer.quantities = measure_all(evidence | {"size_bytes": racer.entry.size_bytes})
            self._judge(racer)

    def _answers(self, entry: Entry) -> dict[str, Any] | Failure:
        """Return what a program says to every example, by output, or how it failed."""
        found = self.session.score(entry.name, self.inputs.examples, self.settings)
        if isinstance(found, Failure):
            return found
        return undefined(found.outputs) or dict(found.outputs)

    def _check_reference(self) -> None:
        """Raise StageError where there is nothing to tell by what the others lose."""
        first, quality = self.racers[0], self.budget.quality
        if first.out:
            message = f"{first.entry.name}, which the others are compared with, {first.out}."
            raise StageError(message, "Check that it runs by itself: give it to a validate stage.")
        if quality not in first.quantities:
            raise StageError(
                f"what programs lose of {quality} cannot be told: it cannot be measured of "
                f"{first.entry.name}.",
                "Let the task's first measure be one that a program's answers are enough for.",
            )

    def _judge(self, racer: Racer) -> None:
        """Put out what loses more than the budget."""
        quality = self.budget.quality
        before, after = (one.quantities.get(quality) for one in (self.racers[0], racer))
        if before is None or after is None:
            return  # see _check_reference
        better = kinds.measure.get(quality).traits["better"]
        change = before.value - after.value
        racer.lost = change if better == "higher" else -change
        if racer.lost > self.budget.most + ROUNDING:
            lost = Quantity(racer.lost, "share_difference" if after.unit == "share" else after.unit)
            racer.out = f"loses {lost} of {quality}"

    def _time(self, number: int) -> None:
        """Time once more what may be the fastest, and find out what is far behind."""
        baseline = self.baseline()
        racers = [r for r in self.racers if r is baseline or not (r.out or r.behind)]
        if not racers:
            return
        asked = {racer.entry.name: racer for racer in racers}
        timed = self.session.time([*asked], self.inputs.samples, self.settings, number)
        for name, timing in timed.items():
            if isinstance(timing, Timing):
                asked[name].timings.append(timing)
            else:
                asked[name].out, asked[name].timings = timing.how, []
        able = [racer for racer in self.racers if not racer.out]
        best = min((racer.median_ms for racer in able), default=0.0)
        for racer in able:  # also those behind: what was ahead of them may have failed
            times, count = racer.median_ms / best, len(racer.timings)
            after = f"{count} restart{'s' if count > 1 else ''}"
            far = f"{times:.2g} times as slow as the fastest after {after}"
            racer.behind = far if times > self.far_behind else ""

    def _compare(self) -> None:
        """Measure latencies, and the gain over the baseline by the restarts that both have."""
        baseline = self.baseline()
        for racer in self.racers:
            if not racer.timings:
                continue
            evidence: dict[str, Any] = {
                "latencies_ms": [timing.latencies_ms for timing in racer.timings],
                "restarts": [timing.restart for timing in racer.timings],
            }
            racer.quantities |= measure_all(evidence)
            if baseline:
                both = min(len(racer.timings), len(baseline.timings))
                paired = {
                    "latencies_ms": evidence["latencies_ms"][:both],
                    "reference_latencies_ms": [t.latencies_ms for t in baseline.timings[:both]],
                }
                racer.quantities |= measure_all(paired)
