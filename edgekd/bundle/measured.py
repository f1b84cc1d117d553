"""The measurements of a stage then and now.

- A **metric** is sound where it is equal, or where one value lies in the interval of the other:
  sampling examples again would not tell them apart. That is promised unless other data was read;
  of a metric without an interval equality is, where the bytes of what was measured are.
- A **timing** (latency, memory, speedup) is compared on the same machine alone. Intervals that lie
  apart are told; other work of the machine may have parted them, so that alone breaks no promise.
- A **gate** breaks its promise where it passes no longer, unless other data was read or it judges
  a timing on another machine.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from edgekd.core.quantity import Quantity
from edgekd.core.results import Gate, Measurements, hardware

NOT_PROMISED = "not promised"
Status = Literal["equal", "within", "overlap", "outside", "apart", "differs", "absent", "-"]


@dataclass(frozen=True)
class Row:
    """One thing that was compared."""

    kind: Literal["stage", "metric", "gate"]
    stage: str
    what: str
    then: str
    now: str
    status: Status
    """`-` where the two cannot be compared."""
    broken: bool = False
    """Whether it was promised and is not so."""
    note: str = ""


@dataclass(frozen=True)
class Measured:
    """What a `validate` stage found, then and now."""

    stage: str
    then: Measurements
    now: Measurements
    same_data: bool
    same_bytes: bool
    """Whether the bytes of what was measured are promised."""

    def rows(self) -> Iterator[Row]:
        """Yield metrics, then gates, in the order of the bundle's run."""
        from edgekd.measures.contract import terms

        timed = {name for name, term in terms().items() if term.timed}
        found = {(m.program, m.target): m.quantities for m in self.now.measurements}
        for m in self.then.measurements:
            again = found.get((m.program, m.target), {})
            for name, then in m.quantities.items():
                now = again.get(name)
                taken = name in timed or then.unit == "ms"  # times that no gate judges, too
                status, broken, note = (
                    self._timing(m.target, then, now) if taken else self._metric(then, now)
                )
                what = f"{name} of {m.program} on {m.target}"
                shown = str(now) if now else "absent"
                yield Row("metric", self.stage, what, str(then), shown, status, broken, note)
        gates = {(g.name, g.program, g.target): g for g in self.now.gates}
        for gate in self.then.gates:
            known = gates.get((gate.name, gate.program, gate.target))
            yield self._gate(gate, known, timed=gate.name in timed)

    def _metric(self, then: Quantity, now: Quantity | None) -> tuple[Status, bool, str]:
        promised = self.same_bytes if then.low is None else self.same_data
        note = "" if promised else NOT_PROMISED
        if now is None:
            return "absent", promised, note
        if then.value == now.value:
            return "equal", False, note
        if _holds(then, now.value) or _holds(now, then.value):
            return "within", False, note
        return "outside", promised, note

    def _timing(
        self, target: str, then: Quantity, now: Quantity | None
    ) -> tuple[Status, bool, str]:
        if now is None:
            return "-", False, "not measured"
        if not self._same_machine(target):
            return "-", False, "another machine: not compared"
        if then.low is None or then.high is None or now.low is None or now.high is None:
            same = then == now
            return ("equal", False, "") if same else ("-", False, "no interval: not compared")
        if then.low <= now.high and now.low <= then.high:
            return "overlap", False, ""
        return "apart", False, NOT_PROMISED

    def _gate(self, then: Gate, now: Gate | None, *, timed: bool) -> Row:
        verdict = now.verdict if now else "absent"
        promised = self.same_data and (not timed or self._same_machine(then.target))
        return Row(
            kind="gate",
            stage=self.stage,
            what=f"{then.name} {then.limit} of {then.program} on {then.target}",
            then=then.verdict,
            now=verdict,
            status="equal" if then.verdict == verdict else "differs",
            broken=promised and then.verdict == "pass" and verdict in ("fail", "absent"),
            note="" if promised else NOT_PROMISED,
        )

    def _same_machine(self, target: str) -> bool:
        machines = [
            [hardware(one.machine) for one in found.targets if one.name == target]
            for found in (self.then, self.now)
        ]
        return machines[0] == machines[1] != []


def _holds(interval: Quantity, value: float) -> bool:
    if interval.low is None or interval.high is None:
        return False
    return interval.low <= value <= interval.high
