"""What one run was asked for and made with that another was not."""

from collections.abc import Iterator, Mapping
from typing import Any

from edgekd.core.differences import differences, shown
from edgekd.report.across.given import Given
from edgekd.report.across.schema import Change, Changes, Kind
from edgekd.report.schema.provenance import StageRecord

KINDS: Mapping[str, Kind] = {
    "files": "data",
    "code": "code",
    "libraries": "versions",
}
"""By the first word of a path in what a stage's key was made of; the rest is configuration."""
FOLLOWS = ("inputs", "request", "machine")
"""What follows from other changes, or is told by the stage's host or by itself."""
SOFTWARE = ("python", "system", "os", "kernel", "onnxruntime", "executorch")
"""What hosts and targets say of themselves that is no hardware."""
PASSING = ("frequency_mhz", "load_average", "temperature_c")
"""What a device says of itself that changes from minute to minute."""
_Found = tuple[Kind, str, str, str]


def changes(base: Given, other: Given) -> Changes:
    """Return all that differs, those of several stages once; code by its folders."""
    ours, theirs = (
        {stage.name: stage for stage in run.report.provenance.stages} for run in (base, other)
    )
    found: dict[_Found, list[str]] = {}
    for one, place in _told(base, other, ours, theirs):
        places = found.setdefault(one, [])
        if place not in places:
            places.append(place)
    return Changes(
        run=other.letter,
        changes=[
            Change(kind=kind, path=path, base=old, other=new, stages=where)
            for (kind, path, old, new), where in found.items()
        ],
        only_base=[name for name in ours if name not in theirs],
        only_other=[name for name in theirs if name not in ours],
    )


def _told(
    base: Given, other: Given, ours: Mapping[str, StageRecord], theirs: Mapping[str, StageRecord]
) -> Iterator[tuple[_Found, str]]:
    """Yield every change with the stage, or the target, that it is of."""
    for name in theirs:
        if name in ours:
            for one in _of_stage(ours[name], theirs[name]):
                yield one, name
    yield from _of_targets(base, other)


def _of_stage(ours: StageRecord, theirs: StageRecord) -> Iterator[_Found]:
    none: dict[str, Any] = {head: {} for head in KINDS}
    for path, old, new in differences(none | ours.identity, none | theirs.identity):
        head, _, rest = path.partition(".")
        if head in FOLLOWS:
            continue
        if ours.kind == "bench" and path != "command":
            yield "data", path, _digest(old), _digest(new)
            continue
        kind = KINDS.get(head, "configuration")
        if kind == "code":
            yield kind, _module(rest), "", ""
        elif kind == "data":
            yield kind, rest.partition(":")[2] or path, _digest(old), _digest(new)
        elif kind == "versions":
            yield kind, rest or path, shown(old), shown(new)
        else:
            yield kind, path, shown(old), shown(new)
    for kind, name, old, new in _hosts(ours.host, theirs.host):
        yield kind, f"host: {name}", old, new


def _hosts(ours: Mapping[str, str], theirs: Mapping[str, str]) -> Iterator[_Found]:
    """Yield what machines, or devices, say of themselves and is not the same."""
    for name in dict.fromkeys([*ours, *theirs]):
        old, new = (facts.get(name, "(absent)") for facts in (ours, theirs))
        if old != new and name not in PASSING:
            yield "versions" if name in SOFTWARE else "machine", name, old, new


def _module(path: str) -> str:
    """Return which part of edgekd a file of code belongs to, or the plug-in's file itself."""
    room, slash, _ = path.partition("/")
    return f"edgekd/{room}" if slash and not room.startswith(("<", ".")) else path


def _digest(value: object) -> str:
    return shown(value)[:12]


def _of_targets(base: Given, other: Given) -> Iterator[tuple[_Found, str]]:
    """Yield what targets of one name said of themselves."""
    for check in base.report.checks:
        again = other.check(check, base)
        machines = {machine.name: machine for machine in again.machines} if again else {}
        for machine in check.machines:
            if machine.name in machines:
                for kind, name, old, new in _hosts(machine.facts, machines[machine.name].facts):
                    yield (kind, f"target: {name}", old, new), machine.name
