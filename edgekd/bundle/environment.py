"""What is other here than where a run was made, told before anything runs again.

Results of a stage are promised byte for byte where it ran on a CPU with the same features, the
same Python and packages, and the same options, code, data and threads, and where all that it rests
on is promised too. Kernel, memory and the number of cores are told; no result depends on them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekd.bundle.document import Bundle, Package, Stage
from edgekd.bundle.lock import lock, roots
from edgekd.core.version import VERSION
from edgekd.pipeline.machine import this_machine
from edgekd.pipeline.plan import Plan

SHAPING = ("python", "cpu", "arch", "features")
"""What of a machine shapes the last bits of a result."""
ELSEWHERE = ("inputs", "name", "request", "machine", "files", "libraries")
"""Parts of a stage's identity that are compared by themselves, or do not shape its result."""
PROMISED = ("model", "outputs", "program", "selection")
"""Kinds of result that hold no times."""
HOLDS_TIMES = "it holds times"
ABSENT = "absent"
DATA = "data "
"""What a difference of data begins with."""


@dataclass(frozen=True)
class Difference:
    """One thing that is other here."""

    what: str
    then: str
    now: str
    step: str = ""
    """What to do about it."""
    shapes: bool = True
    """Whether the bytes of results may depend on it."""
    stages: tuple[str, ...] = ()
    """The stages that it concerns; all where none is named."""

    def __str__(self) -> str:
        where = f" ({', '.join(self.stages)})" if self.stages else ""
        return f"{self.what}{where}: {self.then} -> {self.now}"


@dataclass(frozen=True)
class Environment:
    """All that differs, and what is promised in spite of it."""

    differences: Sequence[Difference]
    reasons: Mapping[str, str]
    """Why the bytes of a stage's result are not promised, by stage."""
    other_data: frozenset[str]
    """Stages that read other data than the run did, or rest on one that does."""


def compare_environments(bundle: Bundle, plan: Plan) -> Environment:
    """Return what differs between a bundle's run and what would run here."""
    here = lock(roots(plan.resolved))
    general = [
        *_versions(bundle),
        *_machine(bundle),
        *_packages(bundle.packages, [one.package for one in here.values()]),
    ]
    own = list(_grouped(bundle, plan))
    return Environment([*general, *own], _reasons(bundle, general, own), _other_data(bundle, own))


def changes(then: Any, now: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield the leaves in which two JSON values differ, with their paths."""
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in sorted({*then} | {*now}, key=str):
            here = f"{path}.{key}" if path else str(key)
            yield from changes(then.get(key, ABSENT), now.get(key, ABSENT), here)
    elif _is_list(then) and _is_list(now) and len(then) == len(now):
        for index, (one, other) in enumerate(zip(then, now, strict=True)):
            yield from changes(one, other, f"{path}[{index}]")
    elif then != now:
        yield path, then, now


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _versions(bundle: Bundle) -> Iterator[Difference]:
    if bundle.edgekd != VERSION:  # what of the code is other is told by file
        yield Difference("edgekd", bundle.edgekd, VERSION, shapes=False)


def _machine(bundle: Bundle) -> Iterator[Difference]:
    """Yield what differs of the machine; `features` is a digest of many words."""
    then, now = bundle.machine, this_machine()
    for name in sorted({*then} | {*now}):
        old, new = then.get(name, ABSENT), now.get(name, ABSENT)
        if old != new:
            what = "features of the CPU, by digest" if name == "features" else name
            yield Difference(what, old, new, shapes=name in SHAPING)


def _packages(then: Sequence[Package], now: Sequence[Package]) -> Iterator[Difference]:
    before, after = {p.name: p for p in then}, {p.name: p for p in now}
    for name in sorted({*before} | {*after}):
        old, new = before.get(name), after.get(name)
        was, here = (p.version if p else ABSENT for p in (old, new))
        if was != here:
            step = f"pip install '{name}=={was}'" if old else ""
            yield Difference(f"package {name}", was, here, step)
        elif old and new and old.record != new.record and name != "edgekd":
            built, here = (p.record[:12] or "no RECORD" for p in (old, new))
            yield Difference(f"build of {name} {old.version}", built, here)


def _grouped(bundle: Bundle, plan: Plan) -> Iterator[Difference]:
    """Yield what differs of stages, once for all that share it."""
    found: dict[Difference, list[str]] = {}
    for stage in bundle.stages:
        for difference in _stage(stage, bundle, plan):
            found.setdefault(difference, []).append(stage.name)
    for one, stages in found.items():
        yield Difference(one.what, one.then, one.now, one.step, one.shapes, tuple(stages))


def _stage(stage: Stage, bundle: Bundle, plan: Plan) -> Iterator[Difference]:
    """Yield what differs of one stage, except what is told of the whole environment."""
    step = next((s for s in plan.steps if s.stage.name == stage.name), None)
    if step is None:
        yield Difference("stage", stage.kind, ABSENT)
        return
    then = {k: v for k, v in stage.identity.items() if k not in ELSEWHERE}
    now = {k: v for k, v in step.identity.items() if k not in ELSEWHERE}
    for path, old, new in changes(then, now):
        head, _, rest = path.partition(".")
        if head == "code":
            yield Difference(f"code of {rest}" if rest else "code", _short(old), _short(new))
        else:
            yield Difference(path, _short(old), _short(new))
    for name in SHAPING:  # a kept stage may come from another machine than the rest
        old = stage.host.get(name, ABSENT)
        if old not in (bundle.machine.get(name), this_machine()[name]):
            yield Difference(f"{name} where it was made", old, this_machine()[name])
    places = {str(index): path for index, path in enumerate(step.stage.files)}
    yield from _data(stage, _by_index(step.identity["files"]), places, bundle)


def _data(
    stage: Stage, now: Mapping[str, str], places: Mapping[str, str], bundle: Bundle
) -> Iterator[Difference]:
    """Yield the files and folders that hold something else, whatever they are called here."""
    was = {data.sha256: data for data in bundle.data}
    for index, old, new in changes(_by_index(stage.identity.get("files")), now):
        data = was.get(str(old))
        named = [p for p in bundle.paths.values() if data and Path(data.path).is_relative_to(p)]
        step = f"{places.get(index, 'It')} is not what the run read. Put that back"
        step += f", or say where it is: --data {named[0]}=PATH" if named else ""
        name = data.name if data else index
        yield Difference(f"{DATA}{name}", str(old)[:12], str(new)[:12], step + ".")


def _by_index(files: Any) -> dict[str, str]:
    """Return digests by the place in the list of files, from `{'0:name': digest}`."""
    pairs = files.items() if isinstance(files, Mapping) else ()
    return {str(key).partition(":")[0]: str(digest) for key, digest in pairs}


def _reasons(
    bundle: Bundle, general: Sequence[Difference], own: Sequence[Difference]
) -> dict[str, str]:
    """Return why a stage's bytes are not promised, for every stage of which they are not."""
    shaping = [difference.what for difference in general if difference.shapes]
    reasons: dict[str, str] = {}
    for stage in bundle.stages:
        mine = [difference.what for difference in own if stage.name in difference.stages]
        rests = [name for name in stage.inputs if name in reasons]
        device = stage.identity.get("device", "cpu")
        if stage.makes not in PROMISED:
            reasons[stage.name] = HOLDS_TIMES
        elif device != "cpu":
            reasons[stage.name] = f"made on {device}"
        elif shaping or mine:
            reasons[stage.name] = f"other here: {_listed([*mine, *shaping])}"
        elif rests:
            reasons[stage.name] = f"rests on {_listed(rests)}"
    return reasons


def _other_data(bundle: Bundle, own: Sequence[Difference]) -> frozenset[str]:
    found = {name for d in own if d.what.startswith(DATA) for name in d.stages}
    for stage in bundle.stages:
        if found & {*stage.inputs}:
            found.add(stage.name)
    return frozenset(found)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
