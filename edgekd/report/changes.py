"""What a step made better or worse against the step before it, as far as intervals can tell."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edgekd.core.quantity import Quantity
from edgekd.core.results import MeasuredProgram, Measurements
from edgekd.report.words import listed

_LEAST_CHANGE_OF_SIZE = 0.01


@dataclass(frozen=True)
class Change:
    """A step against the one before it."""

    words: str
    gained: bool


def changes(found: Measurements, before: Mapping[str, str]) -> dict[tuple[str, str], Change]:
    """Return, by program and target, what changed; `before` names what each is compared with."""
    said = {}
    by_place = {(m.program, m.target): m.quantities for m in found.measurements if not m.failure}
    for program, old_one in _pairs(found, before):
        for target in found.targets:
            new, old = (by_place.get((p.name, target.name)) for p in (program, old_one))
            if new is not None and old is not None:
                parts = dict(_differences(new, old, timed=not target.emulated))
                parts |= _size(program, old_one)
                gained = any(parts.values())
                said[program.name, target.name] = Change(_phrase(parts, old_one.name), gained)
    return said


def _pairs(
    found: Measurements, before: Mapping[str, str]
) -> Iterator[tuple[MeasuredProgram, MeasuredProgram]]:
    named = {program.name: program for program in found.programs}
    for program in found.programs:
        if program.role != "reference" and before[program.name] in named:
            yield program, named[before[program.name]]


def _differences(
    new: Mapping[str, Quantity], old: Mapping[str, Quantity], *, timed: bool
) -> Iterator[tuple[str, bool]]:
    """Yield what clearly changed and whether for the better: intervals that do not touch."""
    words = {
        "accuracy": ("more accurate", "less accurate", True),
        "recall_at_1": ("better at finding", "worse at finding", True),
    }
    if timed:
        words["latency_p50_ms"] = ("slower", "faster", False)
    for name, (higher, lower, high_is_good) in words.items():
        if name not in new or name not in old:
            continue
        if _above(new[name], old[name]):
            yield higher, high_is_good
        elif _above(old[name], new[name]):
            yield lower, not high_is_good


def _above(one: Quantity, other: Quantity) -> bool:
    low = one.value if one.low is None else one.low
    high = other.value if other.high is None else other.high
    return low > high


def _size(new: MeasuredProgram, old: MeasuredProgram) -> dict[str, bool]:
    share = new.size_bytes / max(1, old.size_bytes) - 1
    if abs(share) < _LEAST_CHANGE_OF_SIZE:
        return {}
    return {
        f"{abs(share):.0%} {'smaller' if share < 0 else 'larger'}".replace("%", " %"): share < 0
    }


def _phrase(parts: Mapping[str, bool], before: str) -> str:
    good = [text for text, gained in parts.items() if gained]
    bad = [text for text, gained in parts.items() if not gained]
    if not good:
        lost = f"; {listed(bad)}" if bad else ""
        return f"no gain over {before} that the intervals show{lost}"
    return "; ".join(filter(None, (listed(good), listed(bad)))) + f" than {before}"
