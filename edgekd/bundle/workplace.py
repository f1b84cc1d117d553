"""A folder in which a bundle's pipeline can run: its file, targets and, if trusted, plug-ins."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from edgekd.bundle.document import PIPELINE, Bundle
from edgekd.core.errors import Problem, RequestError
from edgekd.pipeline.document import Document, override, parse_document, read_document, read_text
from edgekd.pipeline.resolved import Request
from edgekd.pipeline.targets import find_targets

HERE = ("local",)
"""Transports to this very machine."""


def lay_out(
    bundle: Bundle, unpacked: Path, work: Path, moved: Mapping[str, str], *, trust_plugins: bool
) -> Request:
    """Fill the folder and return the request that repeats the run in it.

    RequestError where plug-ins are not trusted, a device is not described here, or data is absent.
    """
    work.mkdir()
    pipeline = work / PIPELINE
    shutil.copyfile(_member(bundle, unpacked, PIPELINE), pipeline)
    sets = [*bundle.request.sets, *_paths(bundle, moved)]
    document = override(parse_document(read_text(pipeline), PIPELINE), sets)
    sets += _plugins(document, bundle, unpacked, work, trust_plugins=trust_plugins)
    _targets(bundle, unpacked, work)
    if isinstance(document.value, dict) and "track" in document.value:
        sets.append("track={}")  # where the first run told its numbers is not for this one
    processes = bundle.request.processes
    return Request(str(pipeline), tuple(sets), tuple(bundle.request.targets), processes, processes)


def _member(bundle: Bundle, unpacked: Path, name: str) -> Path:
    """Return a file of the bundle; RequestError where the document names one that is not in it."""
    if name not in bundle.members:
        raise RequestError(Problem("", f"{name!r} is missing from the bundle.", "", "BUNDLE"))
    return unpacked / name


def _paths(bundle: Bundle, moved: Mapping[str, str]) -> list[str]:
    """Return the overrides that lead to the data here; every absent one is reported."""
    problems, sets = [], []
    unknown = [old for old in moved if not any(_inside(p, old) for p in _all_paths(bundle))]
    for old in unknown:
        known = ", ".join(sorted(_all_paths(bundle))) or "nothing"
        step = f"It reads: {known}."
        problems.append(Problem("", f"the bundle reads nothing at {old}.", step, "--data"))
    for place, then in bundle.paths.items():
        if not place.startswith(("task.", "stages.")):
            raise RequestError(Problem("", f"{place!r} is no option of data.", "", "BUNDLE"))
        nearest = sorted(moved.items(), key=lambda pair: len(pair[0]), reverse=True)
        now = next((_put(then, old, new) for old, new in nearest if _inside(then, old)), then)
        if not Path(now).exists():
            step = f"Put it there, or say where it is: --data {then}=PATH"
            problems.append(Problem(place, f"{now!r}, which the run read, is not here.", step))
        sets.append(f"{place}={json.dumps(now)}")
    if problems:
        raise RequestError(problems)
    return sets


def _all_paths(bundle: Bundle) -> set[str]:
    return {*bundle.paths.values()}


def _inside(path: str, folder: str) -> bool:
    return Path(path).is_relative_to(folder)


def _put(path: str, old: str, new: str) -> str:
    return str(Path(new).expanduser().absolute() / Path(path).relative_to(old))


def _plugins(
    document: Document, bundle: Bundle, unpacked: Path, work: Path, *, trust_plugins: bool
) -> list[str]:
    """Return the override that leads to the bundle's own plug-ins, once they are trusted.

    What counts is the pipeline as it would run, not what the bundle says of it.
    """
    listed = document.value.get("plugins") if isinstance(document.value, dict) else ()
    references = tuple(map(str, listed)) if isinstance(listed, tuple) else (str(listed),)
    if listed in (None, ()):
        return []
    if [code.reference for code in bundle.plugins] != list(references):
        step = "Get the bundle again from where it was made."
        message = "the plug-ins of its pipeline are not those that it lists."
        raise RequestError(Problem("plugins", message, step, "BUNDLE"))
    if not trust_plugins:
        lines = "\n".join(_described(bundle))
        raise RequestError(
            Problem(
                "plugins",
                f"the pipeline brings code of its own, which would run here:\n{lines}",
                "Read it first. If you trust who made it: --trust-plugins",
                "BUNDLE",
            )
        )
    used = []
    for number, code in enumerate(bundle.plugins):
        used.append(code.reference)
        if code.reference.endswith(".py"):
            source = _member(bundle, unpacked, "".join(code.members[:1]))
            used[-1] = f"plugins/{number}/{source.name}"
            (work / used[-1]).parent.mkdir(parents=True)
            shutil.copyfile(source, work / used[-1])
    return [f"plugins={json.dumps(used)}"]


def _described(bundle: Bundle) -> Iterator[str]:
    """Yield every source file with its digest, by the line of `plugins:` that names it."""
    for code in bundle.plugins:
        yield f"{code.reference!r}"
        for member in code.members:
            digest = bundle.members.get(member)
            yield f"  {member!r}  SHA-256 {digest.sha256 if digest else 'absent'}"


def _targets(bundle: Bundle, unpacked: Path, work: Path) -> None:
    """Lay out the target files of this machine; any other must be described here."""
    (work / "targets").mkdir()
    known = find_targets(work)
    away = []
    for name, member in bundle.targets.items():
        if "/" in name or member != f"targets/{name}.yaml":
            raise RequestError(Problem("targets", f"{name!r} names no target.", "", "BUNDLE"))
        file = _member(bundle, unpacked, member)
        if _transport(file) in HERE:
            shutil.copyfile(file, work / "targets" / f"{name}.yaml")
        elif name not in known:
            away.append(name)
    if away:
        raise RequestError(
            Problem(
                "targets",
                f"'{name}' is another device, which a bundle does not reach by itself.",
                f"Describe it here: targets/{name}.yaml, in this folder.",
            )
            for name in away
        )


def _transport(file: Path) -> str:
    """Return the kind of a target's transport, or nothing where it has none."""
    document = read_document(file).value
    transport = document.get("transport") if isinstance(document, dict) else None
    kind = transport.get("kind") if isinstance(transport, dict) else transport
    return kind if isinstance(kind, str) else ""
