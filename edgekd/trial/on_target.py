"""All programs of a comparison on one target.

torch is imported only where answers are scored: a model file is timed on machines without it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekd.core.errors import StageError
from edgekd.core.quantity import Quantity
from edgekd.core.results import Gate, MeasuredTarget, Measurement, Profile, Quality, Sustained
from edgekd.core.signals import SIGNALS
from edgekd.devices.answers import Failure, Timing
from edgekd.devices.bench import Session
from edgekd.devices.kept import Journal
from edgekd.devices.settings import Settings
from edgekd.devices.target import Target
from edgekd.devices.validity import notes, objection
from edgekd.measures.contract import Limit, terms
from edgekd.measures.scorecard import measure_all
from edgekd.measures.verdict import judge
from edgekd.trial.beside import Beside, Taker
from edgekd.trial.entry import Entry
from edgekd.trial.inputs import Inputs

if TYPE_CHECKING:
    from torch import Tensor

_COMPARED = ("reference_latencies_ms",)
_TIMED = ("latencies_ms", "restarts", *_COMPARED)
Progress = Callable[[int, int, str], None]
"""Takes how much is done, of how much, and what it is."""


@dataclass
class Found:
    """What is known of one program here."""

    entry: Entry
    evidence: dict[str, Any]
    timings: list[Timing] = field(default_factory=list)
    quantities: dict[str, Quantity] = field(default_factory=dict)
    failure: Failure | None = None
    """Why there are no answers or no timings; then none is left of the latter."""
    beside: Beside = field(default_factory=Beside)
    """What else was asked for."""


class OnTarget:
    """Scores, times and judges; the first entry is the reference of all others."""

    def __init__(
        self,
        name: str,
        target: Target,
        *,
        entries: Sequence[Entry],
        inputs: Inputs,
        settings: Settings,
        limits: Mapping[str, Limit],
        journal: Journal,
    ):
        _check_runtimes(name, target, entries)
        self.name, self.target, self.inputs = name, target, inputs
        self.settings, self.limits, self.entries = settings, limits, entries
        traced = "undelegated_time" in limits
        self.session = Session(target, [entry.job for entry in entries], journal, traced)
        self.found: dict[str, Found] = {}

    @property
    def reference(self) -> Found:
        """What is known of the reference."""
        return self.found[self.entries[0].name]

    def score(self, progress: Progress) -> None:
        """Run every program over all examples, and measure what its answers are worth."""
        expected: dict[str, Any] = {"reference_size_bytes": self.entries[0].size_bytes}
        for number, entry in enumerate(self.entries):
            self._say(progress, number, len(self.entries), "scoring")
            answer = self.session.score(entry.name, self.inputs.examples, self.settings)
            answers = {} if isinstance(answer, Failure) else answer.outputs
            failure = answer if isinstance(answer, Failure) else undefined(answers)
            evidence: dict[str, Any] = {"size_bytes": entry.size_bytes}
            if failure is None:
                evidence |= {**self.inputs.columns, **signals("student", answers)}
            if entry is not self.entries[0]:
                evidence |= expected
            elif failure is None:
                expected |= signals("teacher", answers)
            found = Found(entry, evidence, quantities=measure_all(evidence), failure=failure)
            self.found[entry.name] = found

    def unscored(self) -> None:
        """Take every program as it is: nobody says what its answers should be."""
        expected = {"reference_size_bytes": self.entries[0].size_bytes}
        for entry in self.entries:
            evidence = {"size_bytes": entry.size_bytes}
            evidence |= {} if entry is self.entries[0] else expected
            self.found[entry.name] = Found(entry, evidence, quantities=measure_all(evidence))

    def time(self, progress: Progress) -> None:
        """Time all programs in turns; those with a gate still open, and the reference, again."""
        names, taken = list(self.found), 0
        while self._sound(names) and taken < self.settings.max_restarts:
            upto = min(taken + self.settings.restarts, self.settings.max_restarts)
            for number in range(taken, upto):
                self._say(progress, number, upto, "timing")
                self._restart(self._sound(names), number)
            taken = upto
            for name in self._sound(names):
                self._measure(self.found[name])
            still = {gate.program for gate in self.gates() if self._open(gate)} & {*names}
            names = [self.reference.entry.name, *sorted(still)] if still else []

    def more(self, progress: Progress) -> None:
        """Take what is asked for beside latencies, of programs that did not fail."""
        sound = {name: self.found[name].beside for name in self._sound(list(self.found))}
        ends = {n: one for n, one in sound.items() if self.found[n].entry.role != "along"}
        say = partial(self._say, progress)
        taker = Taker(self.session, self.inputs.samples, self.settings, say)
        if self.settings.profile:
            taker.operators(sound)
        if self.settings.throughput:
            taker.throughput(ends, self.target.threads)
        if self.settings.sustained_s:
            taker.long_runs(ends)

    def _say(self, progress: Progress, done: int, of: int, what: str) -> None:
        """Say how far this is, and for whom it waits if it must."""
        progress(done, of, f"{what} on {self.name}")
        self.session.tell(lambda why: progress(done, of, f"{self.name}: {why}"))

    def take_stock(self) -> bool:
        """Measure by the timings taken before the target was lost; tell whether there are any."""
        timed = [found for found in self.found.values() if found.timings]
        for found in timed:
            self._measure(found)
        return bool(timed)

    def _sound(self, names: Sequence[str]) -> list[str]:
        """Return those of the programs that have not failed."""
        return [name for name in names if self.found[name].failure is None]

    def _restart(self, names: Sequence[str], number: int) -> None:
        """Time programs in turns once; of one that fails no timing is left."""
        if not names:
            return
        timed = self.session.time(names, self.inputs.samples, self.settings, number)
        for name, timing in timed.items():
            found = self.found[name]
            if isinstance(timing, Timing):
                found.timings.append(timing)
                continue
            found.failure = timing
            found.timings.clear()
            for other in [found, *(self.found.values() if found is self.reference else ())]:
                self._forget(other)

    def _forget(self, found: Found) -> None:
        """Drop what a failed program was measured by, and what was compared with it."""
        for name in _TIMED if found.failure else _COMPARED:
            found.evidence.pop(name, None)
        found.quantities = measure_all(found.evidence)

    def _measure(self, found: Found) -> None:
        evidence = {
            "latencies_ms": [timing.latencies_ms for timing in found.timings],
            "restarts": [timing.restart for timing in found.timings],
        }
        if found is not self.reference and not self.reference.failure:
            paired = self.reference.timings[: len(found.timings)]  # restart i of both in turns
            evidence["reference_latencies_ms"] = [timing.latencies_ms for timing in paired]
        found.evidence |= evidence
        found.quantities |= measure_all(evidence)

    def _open(self, gate: Gate) -> bool:
        """Tell whether more restarts could decide a gate."""
        return gate.verdict == "inconclusive" and terms()[gate.name].timed

    def gates(self) -> list[Gate]:
        """Return every gate that applies here, judged for every candidate."""
        return [
            judge(
                name,
                limit,
                program=found.entry.name,
                target=self.name,
                quantities=found.quantities,
                evidence=found.evidence,
                objection=self._objection(found, name),
                failure=self._failure(found, name),
            )
            for found in self.found.values()
            if found.entry.role == "candidate"
            for name, limit in self.limits.items()
        ]

    def _objection(self, found: Found, gate: str) -> str:
        """Return why a gate cannot be judged from these timings, or nothing."""
        if not terms()[gate].timed:
            return ""
        if self.target.emulated:
            return "the target is emulated: its latency means nothing"
        concerned = [found] if not terms()[gate].compares else [found, self.reference]
        return next(filter(None, (objection(f.timings, self.settings) for f in concerned)), "")

    def _failure(self, found: Found, gate: str) -> str:
        """Return why a gate cannot be kept: its program could not run, or the reference could not.

        Where a number was measured all the same, that is judged.
        """
        if gate in found.quantities:
            return ""
        if found.failure:
            return found.failure.how
        if self.reference.failure and terms()[gate].compares:
            return f"{self.reference.entry.name} {self.reference.failure.how}"
        return ""

    def described(self) -> MeasuredTarget:
        """Return the target as it was found."""
        return MeasuredTarget(
            name=self.name,
            description=self.target.description,
            emulated=self.target.emulated,
            machine=self.session.machine | self._settings(),
            measured_at=self.session.measured_at,
            sittings=sorted(self.session.sittings),
            watts_per_core=self.target.hardware.watts_per_core,
        )

    def _settings(self) -> dict[str, str]:
        level = self.target.graph_level
        return {"threads": str(self.target.threads)} | ({"graph_level": level} if level else {})

    def measurements(self, out: Path) -> Iterator[Measurement]:
        """Yield what was measured of each program; raw latencies go to `out`/samples."""
        (out / "samples").mkdir(exist_ok=True)
        for name, found in self.found.items():
            beside = found.beside
            file = f"samples/{self.name}.{name}.json" if found.timings else ""
            if file:
                raw = [np.round(timing.latencies_ms, 6).tolist() for timing in found.timings]
                (out / file).write_text(json.dumps(raw), "utf-8")
            yield Measurement(
                program=name,
                target=self.name,
                quantities=found.quantities,
                restarts=[timing.restart for timing in found.timings],
                samples=file,
                valid=not found.failure and not objection(found.timings, self.settings),
                notes=[] if found.failure else notes(found.timings, self.settings) + beside.notes(),
                failure=str(found.failure or ""),
                profile=beside.profile if isinstance(beside.profile, Profile) else None,
                sustained=beside.sustained if isinstance(beside.sustained, Sustained) else None,
                throughput=beside.rates,
            )

    def quality(self) -> Iterator[Quality]:
        """Yield how the answers of each program that classifies are spread."""
        from edgekd.measures.breakdown import break_down

        for name, found in self.found.items():
            if {"student_logits", "labels"} <= set(found.evidence):
                logits, truth = found.evidence["student_logits"], found.evidence["labels"]
                names = found.entry.program.facts.get("labels", ())
                yield break_down(name, self.name, logits, truth, names)


def undefined(outputs: Mapping[str, Any]) -> Failure | None:
    """Return a failure where answers that are measured hold values that no class can have."""
    for name, signal in signals("student", outputs).items():
        undefined = signal.isnan() | (signal == float("inf"))
        rows = int(undefined.reshape(len(signal), -1).any(1).sum())
        if rows:
            output = name.removeprefix("student_")
            return Failure(f"gave no number as '{output}' for {rows} of {len(signal)} examples")
    return None


def _check_runtimes(name: str, target: Target, entries: Sequence[Entry]) -> None:
    for entry in entries:
        if entry.program.runtime not in target.runtimes:
            raise StageError(
                f"program '{entry.name}' needs {entry.program.runtime}, which target '{name}' "
                f"lacks; it has {', '.join(target.runtimes)}.",
                "Install it there and list it under runtimes, or export for another runtime.",
            )


def signals(whose: str, outputs: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return a program's outputs that measures can ask for, as `student_logits`."""
    import torch

    named = {f"{whose}_{name}": torch.from_numpy(array) for name, array in outputs.items()}
    return {name: tensor for name, tensor in named.items() if name in SIGNALS}
