"""What a finished run puts into its bundle, and what it says of the things that stay outside."""

import importlib.util
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekd.bundle.archive import Source
from edgekd.bundle.document import Code, Data, Digest, Stage
from edgekd.core.artifact import MANIFEST, digest_file
from edgekd.core.errors import StageError
from edgekd.core.registry import package_of
from edgekd.pipeline.document import spell
from edgekd.pipeline.outcome import RunResult
from edgekd.pipeline.resolved import Resolved, ResolvedStage

CARRIED = ("program", "measurements", "report")
"""Kinds of result whose files go along; of all else, implied exports too, the manifest does."""


def stages_of(result: RunResult) -> Iterator[Stage]:
    """Yield every stage as it was committed."""
    planned = {stage.name: stage for stage in result.resolved.stages}
    for number, (name, manifest) in enumerate(result.manifests.items(), 1):
        yield Stage(
            name=name,
            kind=manifest.kind,
            makes=manifest.makes,
            implied=bool(planned[name].implied_by),
            inputs=list(planned[name].inputs),
            folder=f"stages/{number:02}-{name}",
            files={
                file: Digest(sha256=about["sha256"], size=about["size"])
                for file, about in manifest.files.items()
            },
            identity=_sorted(manifest.identity),
            host=_sorted(manifest.host),
            started_at=manifest.started_at,
        )


def _sorted(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object as a manifest that was read has it: with sorted keys."""
    found: dict[str, Any] = json.loads(json.dumps(value, sort_keys=True))
    return found


def stage_members(stages: Sequence[Stage], result: RunResult) -> dict[str, Source]:
    """Return manifests and results by their names in the bundle; StageError if one was altered."""
    members: dict[str, Source] = {}
    for stage in stages:
        folder = result.folders[stage.name]
        members[f"{stage.folder}/{MANIFEST}"] = folder / MANIFEST
        for file, listed in stage.files.items() if carries(stage) else ():
            if not (folder / file).is_file() or digest_file(folder / file) != listed.sha256:
                raise StageError(
                    f"the kept result of {stage.name} was altered: {file} in {folder}.",
                    "No bundle was written. Run again: what was altered is made anew.",
                )
            members[f"{stage.folder}/{file}"] = folder / file
    return members


def carries(stage: Stage) -> bool:
    """Tell whether a stage's files are in the bundle, not their digests alone."""
    return stage.makes in CARRIED and not stage.implied


def plugin_code(resolved: Resolved) -> Iterator[tuple[Code, Mapping[str, Source]]]:
    """Yield each line of `plugins:` with its source files."""
    beside = Path(resolved.request.file).parent
    for number, reference in enumerate(resolved.plugins):
        top, files = _sources(reference, beside)
        members = {
            f"plugins/{number}/{file.relative_to(top).as_posix()}": _unchanged(file, resolved)
            for file in files
        }
        yield Code(reference=reference, members=sorted(members)), members


def target_members(resolved: Resolved) -> Iterator[tuple[str, str, bytes]]:
    """Yield each target file that was used: the target's name, the member, what it holds."""
    for name, path in resolved.target_files.items():
        yield name, f"targets/{name}.yaml", _unchanged(Path(path), resolved)


def path_options(resolved: Resolved) -> dict[str, str]:
    """Return the absolute path behind each option that is one, by its place in the file."""
    found = _paths_in(resolved.task, ("task",), _all_paths(resolved))
    for stage in resolved.stages:
        if not stage.implied_by:
            written = stage.member.group if stage.member else stage.name
            found |= _paths_in(stage.options, ("stages", written), {*stage.paths})
            if stage.task:
                found |= _paths_in(stage.task, ("stages", written, "task"), {*stage.paths})
    return found


def data_read(result: RunResult) -> list[Data]:
    """Return every file and folder that the stages read, with digest and size."""
    found: dict[str, Data] = {}
    planned = {stage.name: stage for stage in result.resolved.stages}
    for name, manifest in result.manifests.items():
        for path, digest in read_by(planned[name], manifest.identity).items():
            if path not in found:
                size = _size(Path(path))
                found[path] = Data(name=Path(path).name, path=path, size=size, sha256=digest)
    return list(found.values())


def read_by(stage: ResolvedStage, identity: Mapping[str, Any]) -> dict[str, str]:
    """Return the digests of what a stage reads, by path."""
    digests: Mapping[str, str] = identity["files"]
    return {stage.files[int(key.partition(":")[0])]: digest for key, digest in digests.items()}


def _sources(reference: str, beside: Path) -> tuple[Path, list[Path]]:
    """Return the folder above a plug-in's source files, and the files."""
    if reference.endswith(".py"):
        file = (beside / reference).resolve()
        return file.parent, [file]
    spec = importlib.util.find_spec(reference)
    file = Path(spec.origin if spec and spec.origin else "")
    top = file.parents[reference.count(".") + (file.name == "__init__.py")]
    return top, package_of(file)


def _unchanged(file: Path, resolved: Resolved) -> bytes:
    """Return a file that the pipeline was read from; StageError if it is another by now."""
    try:
        same = digest_file(file) == resolved.depends.get(str(file))
    except OSError:
        same = False
    if not same:
        raise StageError(
            f"{file} was changed after the pipeline was read.",
            "No bundle was written. Run again with --bundle.",
        )
    return file.read_bytes()


def _all_paths(resolved: Resolved) -> set[str]:
    return {path for stage in resolved.stages for path in stage.paths}


def _paths_in(value: Any, steps: tuple[str | int, ...], paths: set[str]) -> dict[str, str]:
    """Return the strings inside options that are among `paths`, by their place."""
    found: dict[str, str] = {}
    if isinstance(value, Mapping):
        for key, item in value.items():
            found |= _paths_in(item, (*steps, key), paths)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            found |= _paths_in(item, (*steps, index), paths)
    elif isinstance(value, str) and value in paths:
        found[spell(steps)] = value
    return found


def _size(path: Path) -> int:
    """Return the bytes of a file, or of a folder's files; 0 where it is gone by now."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
