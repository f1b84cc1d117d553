"""From a file to its stages: everything that can be known, or be wrong, before anything runs.

This loads plug-ins, and with them torch, so it happens in the worker; what comes out is JSON that
the parent keeps and plans with.
"""

import importlib.metadata
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgekd.core.artifact import digest_file
from edgekd.core.errors import Problem, RequestError
from edgekd.core.protocols import Task
from edgekd.core.refs import Ref, UseModel, UseRuntime, UseStage, as_written, paths_of, uses_of
from edgekd.core.registry import load_user_module
from edgekd.pipeline.code import closure_digest
from edgekd.pipeline.document import Document, override, parse_document, read_text
from edgekd.pipeline.graph import IMPLIED_RUNTIME, Node, check_edges, make_nodes
from edgekd.pipeline.spec import Pipeline, validate
from edgekd.pipeline.targets import find_targets, read_target

LIBRARIES = ("torch", "numpy", "safetensors")


@dataclass(frozen=True)
class Request:
    """What the user asked for."""

    file: str
    """Absolute path of the pipeline file."""
    sets: Sequence[str] = ()
    """Overrides, `path=value`."""
    targets: Sequence[str] = ()
    """Devices to measure on instead of the file's."""


@dataclass(frozen=True)
class ResolvedStage:
    """A stage with all that its result depends on, except what is only known when it runs."""

    name: str
    kind: str
    makes: str
    options: Mapping[str, Any]
    inputs: Sequence[str]
    seed: int
    implied_by: str
    reads_data: bool
    code: str
    """Digest of the source of the stage, of its plug-ins and of what they import."""
    libraries: Mapping[str, str]
    files: Sequence[str]
    """Paths whose content the result depends on."""
    paths: Sequence[str]
    """Options that are paths: what lies there counts, not where."""
    targets: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Resolved:
    """A pipeline, ready to be planned."""

    name: str
    request: Request
    text: str
    device: str
    threads: int
    plugins: Sequence[str]
    task: Mapping[str, Any]
    stages: Sequence[ResolvedStage]
    depends: Mapping[str, str] = field(default_factory=dict)
    """Files that this was read from besides the pipeline file, with their SHA-256."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> "Resolved":
        """Return what `as_dict` described."""
        stages = tuple(ResolvedStage(**stage) for stage in data["stages"])
        return Resolved(**{**data, "request": Request(**data["request"]), "stages": stages})


def resolve(request: Request) -> Resolved:
    """Return the pipeline of a file; RequestError holds every problem that could be found."""
    path = Path(request.file)
    text = read_text(path)
    document = override(parse_document(text, _shown(path)), request.sets)
    if not isinstance(document.value, dict):
        raise RequestError(
            Problem(
                "",
                "expected a mapping with name, task and stages.",
                "See: edgekd init",
                document.place(()),
            )
        )
    plugin_files = _load_plugins(document, path.parent)
    document = _with_targets(document, request.targets)
    pipeline, problems = validate(document, path.parent)
    if pipeline is None:
        raise RequestError(problems)
    problems += check_edges(pipeline.stages, document)
    if problems:
        raise RequestError(problems)
    nodes = make_nodes(pipeline.stages)
    task = _build_task(pipeline, document)
    targets, target_files, found = _read_targets(nodes, path.parent, document)
    problems += found
    problems += _check_stages(pipeline, task, targets, document)
    if problems:
        raise RequestError(problems)
    data = [str(file) for file in task.files()]
    return Resolved(
        name=pipeline.name,
        request=request,
        text=text,
        device=_device(pipeline.device, document),
        threads=pipeline.threads or os.cpu_count() or 1,
        plugins=[str(file) for file in plugin_files],
        task=as_written(pipeline.task),
        stages=[_stage(node, pipeline, data, targets, plugin_files) for node in nodes],
        depends={str(file): digest_file(file) for file in [*plugin_files, *target_files]},
    )


def _shown(path: Path) -> str:
    """Return a path as the user would type it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _load_plugins(document: Document, beside: Path) -> list[Path]:
    """Import what the file lists under `plugins:`, before names are looked up."""
    listed, files, problems = document.value.get("plugins") or (), [], []
    if not isinstance(listed, tuple):
        return []  # the typed reading says what is wrong
    for index, reference in enumerate(listed):
        try:
            files.append(load_user_module(str(reference), beside))
        except ValueError as error:
            at = ("plugins", index)
            problems.append(
                Problem(
                    f"plugins[{index}]",
                    f"{error}.",
                    "Give a .py file beside the pipeline or an installed module.",
                    document.place(at),
                )
            )
    if problems:
        raise RequestError(problems)
    return files


def _with_targets(document: Document, asked: Sequence[str]) -> Document:
    """Give the stages that measure the targets of the command line, else of the file."""
    chosen = tuple(asked) or document.value.get("targets")
    stages = document.value.get("stages")
    if not isinstance(chosen, tuple) or not chosen or not isinstance(stages, dict):
        return document
    value = dict(document.value) | {"stages": dict(stages)}
    for name, options in stages.items():
        measures = isinstance(options, dict) and options.get("kind") == "validate"
        if measures and (asked or "targets" not in options):
            value["stages"][name] = options | {"targets": chosen}
    return Document(value, document.places)


def _build_task(pipeline: Pipeline, document: Document) -> Task:
    """Return the task; missing or unusable data is reported at its place in the file."""
    try:
        task: Task = pipeline.task.build()
        task.files()
    except RequestError as error:
        raise RequestError(
            [_placed(p, document, ("task", "data")) for p in error.problems]
        ) from error
    except (ValueError, OSError) as error:
        problem = Problem("task.data", f"{error}", "", document.place(("task", "data")))
        raise RequestError(problem) from error
    return task


def _placed(problem: Problem, document: Document, at: tuple[str, ...]) -> Problem:
    return Problem(
        problem.path or ".".join(at), problem.message, problem.next_step, document.place(at)
    )


@dataclass(frozen=True)
class _Preview:
    """What a stage's check may look at."""

    pipeline: Pipeline
    task: Task
    targets: Mapping[str, Mapping[str, Any]]

    def model(self, ref: Ref) -> UseModel | None:
        options = self.pipeline.stages[ref.stage].options
        source = getattr(options, "model", None)
        if isinstance(source, Ref):
            return self.model(source)
        return source if isinstance(source, UseModel) else None

    def runtime(self, ref: Ref) -> str:
        options = self.pipeline.stages[ref.stage].options
        use = getattr(options, "runtime", None)
        return use.kind if isinstance(use, UseRuntime) else IMPLIED_RUNTIME


def _check_stages(
    pipeline: Pipeline,
    task: Task,
    targets: Mapping[str, Mapping[str, Any]],
    document: Document,
) -> Iterator[Problem]:
    preview = _Preview(pipeline, task, targets)
    for name, use in pipeline.stages.items():
        check = use.plugin.traits.get("check")
        for problem in check(use.options, preview) if check else ():
            path = ".".join(part for part in ("stages", name, problem.path) if part)
            at = _steps(path)
            yield Problem(path, problem.message, problem.next_step, document.place(at))


def _steps(path: str) -> tuple[str | int, ...]:
    flat = path.replace("[", ".").replace("]", "")
    return tuple(int(part) if part.isdigit() else part for part in flat.split("."))


def _read_targets(
    nodes: Sequence[Node], beside: Path, document: Document
) -> tuple[dict[str, dict[str, Any]], list[Path], list[Problem]]:
    """Return the targets that stages name, the files they stand in, and what is wrong with them."""
    known, targets, files, problems = find_targets(beside), {}, [], []
    for node in nodes:
        for name in _target_names(node):
            if name in targets:
                continue
            try:
                targets[name] = read_target(name, known)
                files.append(known[name])
            except RequestError as error:
                at = ("stages", node.name, "targets")
                problems += [
                    Problem(
                        p.path or f"stages.{node.name}.targets",
                        p.message,
                        p.next_step,
                        p.place or document.place(at),
                    )
                    for p in error.problems
                ]
    return targets, files, problems


def _target_names(node: Node) -> Sequence[str]:
    one = getattr(node.use.options, "target", None)
    return getattr(node.use.options, "targets", ((one,) if one else ()))


def _device(wanted: str, document: Document) -> str:
    from edgekd.train.device import pick_device

    try:
        return pick_device(wanted)
    except ValueError as error:
        problem = Problem(
            "device",
            f"{error}.",
            "Use device: auto, or install a CUDA build of torch.",
            document.place(("device",)),
        )
        raise RequestError(problem) from error


def _stage(
    node: Node,
    pipeline: Pipeline,
    data: Sequence[str],
    targets: Mapping[str, Mapping[str, Any]],
    plugin_files: Sequence[Path],
) -> ResolvedStage:
    use: UseStage = node.use
    reads_data = bool(use.plugin.traits.get("reads_data", True))
    uses = [*uses_of(use), *(uses_of(pipeline.task) if reads_data else ())]
    plugins = [u.plugin for u in uses]
    distributions = {*LIBRARIES}
    for plugin in plugins:
        distributions |= {*getattr(plugin.target, "distributions", ())}
    return ResolvedStage(
        name=node.name,
        kind=use.kind,
        makes=node.makes,
        options=as_written(use.options),
        inputs=node.inputs,
        seed=pipeline.seed if use.seed is None else use.seed,
        implied_by=node.implied_by,
        reads_data=reads_data,
        code=closure_digest([*dict.fromkeys(p.source for p in plugins), *plugin_files]),
        libraries={name: importlib.metadata.version(name) for name in sorted(distributions)},
        files=[*(data if reads_data else ()), *paths_of(use.options)],
        paths=[*paths_of(use.options), *paths_of(pipeline.task)],
        targets={name: targets[name] for name in _target_names(node) if name in targets},
    )
