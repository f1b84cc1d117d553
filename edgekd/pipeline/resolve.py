"""From a file to its stages: everything that can be known, or be wrong, before anything runs.

This loads plug-ins, and with them torch, so it happens in the worker; what comes out is JSON that
the parent keeps and plans with.
"""

import csv
import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from edgekd.core import kinds
from edgekd.core.artifact import digest_file, digest_json
from edgekd.core.config import Config
from edgekd.core.errors import Problem, RequestError
from edgekd.core.limits import allowed_processors
from edgekd.core.needs import Hands
from edgekd.core.refs import (
    UseStage,
    UseTransport,
    as_written,
    paths_of,
    placed,
    refs_of,
    uses_of,
)
from edgekd.core.registry import load_user_module
from edgekd.pipeline.code import closure, files_of, installed, is_own, named
from edgekd.pipeline.document import Document, override, parse_document, read_text
from edgekd.pipeline.graph import Node, check_edges, make_nodes
from edgekd.pipeline.keeping import with_keeping
from edgekd.pipeline.members import with_members
from edgekd.pipeline.preview import StagePreview, check_stages
from edgekd.pipeline.repeats import with_repeats
from edgekd.pipeline.resolved import Request, Resolved, ResolvedStage
from edgekd.pipeline.spec import MAX_STAGES, Pipeline, validate
from edgekd.pipeline.targets import check_runners, check_transport, find_targets, read_target
from edgekd.pipeline.tasks import build_task, own_tasks, remarks_of_own, without_same_task
from edgekd.pipeline.trials import with_trials
from edgekd.track.options import Track

LIBRARIES = ("torch", "numpy", "safetensors")
NATIVE = (".so", ".pyd", ".dylib", ".dll")


def resolve(request: Request) -> Resolved:
    """Return the pipeline of a file; RequestError holds every problem that could be found."""
    from edgekd.train.device import precision

    path = Path(request.file)
    text = read_text(path)
    document = override(parse_document(text, _shown(path)), request.sets)
    if not isinstance(document.value, dict):
        message = "expected a mapping with name, task and stages."
        raise RequestError(Problem("", message, "See: edgekd init", document.place(())))
    plugin_files = _load_plugins(document, path.parent)
    document = _with_targets(document, request.targets)
    document, trials, problems = with_trials(document, MAX_STAGES)
    reading = validate(document, path.parent, {trial.name for trial in trials})
    problems += reading.problems
    problems += _trackers(reading.pipeline, document)
    task = build_task(reading.task, document, ("task",), problems)
    stages = without_same_task(reading)
    others = own_tasks(stages, document, problems)
    seed = reading.pipeline.seed if reading.pipeline else 0
    judged, document, unfit = with_keeping(stages, document)
    problems += unfit
    repeated, unlike = with_repeats(judged, trials, MAX_STAGES, document)
    document = document.with_origins(repeated.origins)
    hands = Hands(request.processes, request.processes_here)
    told = StagePreview(repeated.stages, task, {}, hands, others) if task else None
    family, wrong = with_members(repeated, seed, document, told)
    document = document.with_origins(family.origins)
    edges = unlike or list(check_edges(family.stages, document))
    problems += [*wrong, *edges]
    known = find_targets(path.parent)
    targets = _read_targets(list(family.stages.values()), known, document, problems)
    if task is not None and not edges:  # references that lead somewhere can be followed
        preview = StagePreview(family.stages, task, targets, hands, others)
        problems += check_stages(preview, document)
    if problems or reading.pipeline is None or task is None:
        raise RequestError(dict.fromkeys(problems))  # several stages may have one origin
    pipeline = reading.pipeline
    nodes = make_nodes(family.stages, family.members, preview)
    about = _Stages(pipeline, preview, plugin_files)
    resolved = [about.resolved(node) for node in nodes]
    device = _device(pipeline.device, request.processes_here, document)
    sources = {file for module in plugin_files for file in module} | about.foreign
    files = [*sorted(sources), *(known[name] for name in targets)]
    return Resolved(
        name=pipeline.name,
        request=request,
        text=text,
        device=device,
        precision=precision(device),
        threads=pipeline.threads or max(1, allowed_processors() // request.processes_here),
        plugins=list(pipeline.plugins),
        task=as_written(pipeline.task),
        checkpoint=as_written(pipeline.checkpoint),
        track=as_written(pipeline.track),
        task_judges=pipeline.task.plugin.traits.get("judges", ()),
        stages=resolved,
        depends={str(file): digest_file(file) for file in files},
        versions={n: installed(n) for n in sorted(_libraries(resolved, pipeline.track))},
        target_files={name: str(known[name]) for name in targets},
    )


def _libraries(stages: Sequence[ResolvedStage], track: Track) -> set[str]:
    """Return the distributions that shape or track the stages, each once: it takes time."""
    return {name for stage in stages for name in stage.libraries} | {*track.distributions}


def _trackers(pipeline: Pipeline | None, document: Document) -> Iterator[Problem]:
    """Yield the trackers that lack a package."""
    lacking: dict[str, list[str]] = {}
    for name, package in pipeline.track.absent() if pipeline else ():
        lacking.setdefault(name, []).append(package)
    for name, packages in lacking.items():
        message = f"it takes {' and '.join(packages)}, which this Python does not have."
        step = "Install what tracking takes: pip install 'edgekd[track]'"
        yield document.problem(("track", name), message, step)


def _builds(targets: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the version and build of every runtime of the targets that are measured on."""
    runtimes = {name for target in targets.values() for name in target["runtimes"]}
    plugins = [kinds.runtime.get(name) for name in sorted(runtimes)]
    names = {name for plugin in plugins for name in plugin.traits.get("distributions", ())}
    return {name: _build(name) for name in sorted(names)}


@cache
def _build(distribution: str) -> str:
    """Return a version with a digest of the machine code that was installed with it."""
    found = importlib.metadata.distribution(distribution)
    native = sorted(_native(found.read_text("RECORD") or ""))
    return f"{found.version} (build {digest_json(native)[:8]})" if native else found.version


def _native(record: str) -> Iterator[str]:
    """Yield path and hash of each file of machine code; most of the many lines are not looked at.

    As `importlib.metadata` would show them.
    """
    lines = [line for line in record.splitlines() if any(end in line for end in NATIVE)]
    for path, digest, _ in csv.reader(lines):
        if PurePosixPath(path).suffix in NATIVE:
            mode, _, value = digest.partition("=")
            yield f"{path} <FileHash mode: {mode} value: {value}>" if digest else f"{path} None"


def _shown(path: Path) -> str:
    """Return a path as the user would type it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _load_plugins(document: Document, beside: Path) -> list[list[Path]]:
    """Import what the file lists under `plugins:` and return the source files of each module."""
    listed = document.value.get("plugins") or ()
    files: list[list[Path]] = []
    problems: list[Problem] = []
    if not isinstance(listed, tuple):
        return []  # the typed reading says what is wrong
    for index, reference in enumerate(listed):
        if not isinstance(reference, str):
            continue  # here too
        try:
            files.append(load_user_module(reference, beside))
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
    return replace(document, value=value)


def _read_targets(
    uses: Sequence[UseStage],
    known: Mapping[str, Path],
    document: Document,
    problems: list[Problem],
) -> dict[str, dict[str, Any]]:
    """Return the targets that stages name; what is wrong with them is added to the problems."""
    targets: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(name for use in uses for name in _target_names(use)):
        try:
            targets[name] = read_target(name, known)
            check_transport(targets[name])
            check_runners(name, targets[name])
        except RequestError as error:
            at = _first_use(name, document)
            path = ".".join(map(str, at))
            problems += [
                Problem(p.path or path, p.message, p.next_step, p.place or document.place(at))
                for p in error.problems
            ]
    return targets


def _first_use(target: str, document: Document) -> tuple[str | int, ...]:
    """Return where a file first names a target."""
    for path, value in placed(document.value["stages"], ("stages",)):
        if path[-1] == "target" and value == target:
            return path
        if path[-1] == "targets" and isinstance(value, tuple) and target in value:
            return path
    return ("targets",)


def _times(use: UseStage) -> bool:
    """Tell whether a stage measures: by its kind, or by its options."""
    measures = use.plugin.traits.get("measures", False)
    return bool(measures(use.options) if callable(measures) else measures)


def _target_names(use: UseStage) -> Sequence[str]:
    """Return the targets that a stage's options name, at whatever depth."""
    found: dict[str, None] = {}
    for _, value in placed(use.options):
        one = getattr(value, "target", None) if isinstance(value, Config) else None
        several = getattr(value, "targets", ()) if isinstance(value, Config) else ()
        found |= dict.fromkeys([*several, *([one] if one else [])])
    return [*found]


def _device(wanted: str, processes: int, document: Document) -> str:
    from edgekd.train.device import pick_device

    try:
        return pick_device(wanted, processes)
    except ValueError as error:
        step = "Use device: cpu, install a CUDA build of torch, or ask for fewer processes."
        problem = Problem("device", f"{error}.", step, document.place(("device",)))
        raise RequestError(problem) from error


@cache
def _version(distribution: str) -> str:
    """Return what is installed; it is read once, because what is loaded does not change either."""
    return importlib.metadata.version(distribution)


class _Stages:
    """Says of each stage what its result depends on."""

    def __init__(
        self,
        pipeline: Pipeline,
        preview: StagePreview,
        plugin_files: Sequence[Sequence[Path]],
    ):
        self.pipeline, self.preview, self.plugin_files = pipeline, preview, plugin_files
        self.foreign: set[Path] = set()
        """Source of others that stages rest on."""

    def resolved(self, node: Node) -> ResolvedStage:
        """Return a stage with all that its result depends on."""
        use, preview = node.use, self.preview.seen_by(node.use)
        needs, use_task = preview.needs(use), use.task or self.pipeline.task
        times, known = _times(use), preview.targets
        remarks = use.plugin.traits.get("remarks")
        reads_data = bool(use.plugin.traits.get("reads_data", True))
        plugins = [u.plugin for u in uses_of(use)]
        targets = {n: known[n] for n in _target_names(use) if n in known}
        if reads_data:
            plugins += [u.plugin for u in uses_of(use_task)]
            plugins.append(kinds.measure.get(preview.task.quality[0]))  # training selects by it
        if times:  # every measure that can, takes part
            plugins += list(kinds.measure)
        if node.makes == "outputs":  # what runs a teacher that is a program shapes what it says
            programs = [r for _, r in refs_of(use.options) if preview.makes(r) == "program"]
            plugins += [kinds.runtime.get(n) for n in map(preview.runtime, programs) if n]
        for target in targets.values():
            plugins.append(UseTransport.model_validate(target["transport"]).plugin)
        sources = {plugin.source for plugin in plugins}
        for module in self.plugin_files:  # all of a module counts where one plug-in of it is used
            sources |= {*module} if sources & {*module} else set()
        rooms = [path for room in use.plugin.traits.get("code", ()) for path in files_of(room)]
        reached = closure([*sources, *rooms])
        self.foreign |= {path for path in reached if not is_own(path) and path not in rooms}
        distributions = {*LIBRARIES}
        for plugin in plugins:
            distributions |= {*plugin.traits.get("distributions", ())}
        libraries = {name: _version(name) for name in sorted(distributions)}
        return ResolvedStage(
            name=node.name,
            kind=use.kind,
            makes=node.makes,
            options=as_written(use.options),
            inputs=node.inputs,
            seed=self.pipeline.seed if use.seed is None else use.seed,
            implied_by=node.implied_by,
            instead=node.instead,
            remarks=[*remarks_of_own(use), *(remarks(use.options, preview) if remarks else ())],
            member=node.member,
            reads_data=reads_data,
            computes=bool(use.plugin.traits.get("computes", True)),
            named=bool(use.plugin.traits.get("named", True)),
            measures=times,
            shared=bool(use.plugin.traits.get("shared", False)),
            stops=bool(use.plugin.traits.get("stops", False)),
            judges=use.plugin.traits.get("judges", ()),
            code=named(reached),
            libraries=libraries | (_builds(targets) if times else {}),
            files=[*(map(str, preview.task.files()) if reads_data else ()), *paths_of(use.options)],
            paths=[*paths_of(use.options), *paths_of(use_task)],
            task=as_written(use.task) if use.task else None,
            task_judges=use.task.plugin.traits.get("judges", ()) if use.task else (),
            targets=targets,
            needs=asdict(needs) if needs else None,
        )
