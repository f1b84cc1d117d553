"""Model files measured on targets: what a `validate` stage does, without a task to score."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from edgekd.bench.asked import Asked
from edgekd.bench.fed import feeds
from edgekd.bench.opened import Opened, opened
from edgekd.bench.samples import Samples, check_types, port, write
from edgekd.bench.sizes import check_names
from edgekd.core.errors import EdgekdError, Problem, RequestError
from edgekd.core.refs import as_read
from edgekd.core.results import Fed, Measurements, Role
from edgekd.core.signature import Port, Signature
from edgekd.devices.kept import Journal
from edgekd.devices.settings import Settings, settle
from edgekd.devices.target import Bench, Target
from edgekd.measures.verdict import limits_on
from edgekd.pipeline.targets import check_runners, check_transport, find_targets, read_target
from edgekd.runtimes.folder import Program
from edgekd.trial.at_once import as_one, at_once
from edgekd.trial.entry import Entry
from edgekd.trial.inputs import Inputs
from edgekd.trial.on_target import OnTarget, Progress


@dataclass
class Prepared:
    """A command that can be carried out."""

    asked: Asked
    entries: list[Entry]
    """The one that is compared with first."""
    fed: list[list[Samples]]
    """By entry."""
    targets: Mapping[str, Target]
    settings: Mapping[str, Settings]
    failed: dict[str, EdgekdError] = field(default_factory=dict)
    """By target; filled while measuring."""


def prepare(asked: Asked) -> Prepared:
    """Return everything that is measured; RequestError where something cannot be."""
    targets = {name: _target(name, asked) for name in dict.fromkeys(asked.targets)}
    models = [opened(path) for path in (asked.model, asked.against) if path is not None]
    for model in models:
        check_types(model)
    check_names(asked, tuple(models))
    _check_targets(targets, models)
    more = ("mode", "profile", "sustained_s", "throughput")
    wanted = Bench.model_validate({name: getattr(asked, name) for name in more})
    settings = {name: settle(target.bench, wanted) for name, target in targets.items()}
    fed = feeds(models, asked, max(each.samples for each in settings.values()))[::-1]
    entries = list(_entries(models[::-1], fed))
    return Prepared(asked, entries, fed, targets, settings)


def _target(name: str, asked: Asked) -> Target:
    described = read_target(name, find_targets(Path.cwd()))
    check_transport(described)
    check_runners(name, described)
    target = Target.model_validate(as_read(described))
    changed = {"threads": asked.threads, "graph_level": asked.graph_level}
    return target.model_copy(update={k: v for k, v in changed.items() if v is not None})


def _check_targets(targets: Mapping[str, Target], models: Sequence[Opened]) -> None:
    """Refuse targets on which a model cannot be timed; RequestError has all of them."""
    problems = [
        Problem("", f"target '{name}' is emulated: its latency means nothing.", "", "--target")
        for name, target in targets.items()
        if target.emulated
    ]
    problems += [
        Problem(
            "",
            f"{model.file.name} needs {model.runtime}, which target '{name}' lacks; it has "
            f"{', '.join(target.runtimes)}.",
            "Install it there and list it under runtimes.",
            "--target",
        )
        for name, target in targets.items()
        for model in models
        if model.runtime not in target.runtimes
    ]
    if problems:
        raise RequestError(problems)


def _entries(models: Sequence[Opened], fed: Sequence[Sequence[Samples]]) -> Iterator[Entry]:
    """Yield the models as programs, the last as candidate; two of one name are told apart."""
    last = len(models) - 1
    for number, (model, samples) in enumerate(zip(models, fed, strict=True)):
        ports = tuple(
            Port(port(number, place), each.input.dtype, each.calls.shape[1:])  # type: ignore[arg-type]
            for place, each in enumerate(samples)
        )
        outputs = tuple(Port(name, "float32", ()) for name in model.outputs)
        name = model.file.name
        if number < last and name == models[last].file.name:
            name = f"against-{name}"
        program = Program(
            file=model.file.name,
            runtime=model.runtime,
            precision="as given",
            signature=Signature(ports, outputs),
            facts={},
            model=name,
            model_digest="",
            parameters=None,
            parity={},
        )
        role: Role = "candidate" if number == last else "reference"
        free = tuple(
            port(number, place)
            for place, each in enumerate(samples)
            if each.input.shape and not isinstance(each.input.shape[0], int)
        )
        yield Entry(name, role, model.file.absolute(), program, whole_calls=True, free=free)


def measure(prepared: Prepared, work: Path, out: Path, progress: Progress) -> Measurements:
    """Return what was measured on all targets at once; raw samples go to `out`/samples.

    A target that cannot be reached, or no longer, or on which measuring fails is noted in `failed`;
    where that leaves nothing, that is raised.
    """
    write(prepared.fed, work / "inputs")
    parts = _parts(prepared, work, progress)
    if not parts:
        raise as_one(prepared.failed)
    reference = prepared.entries[0].name if len(prepared.entries) > 1 else ""
    return Measurements(
        reference=reference,
        split="",
        examples=0,
        targets=[part.described() for part in parts],
        programs=[entry.described() for entry in prepared.entries],
        measurements=[m for part in parts for m in part.measurements(out)],
        quality=[],
        gates=[gate for part in parts for gate in part.gates()],
        inputs=[fed for entry, each in zip(prepared.entries, prepared.fed, strict=True)
                for fed in _fed(entry, each)],
    )  # fmt: skip


def _parts(prepared: Prepared, work: Path, progress: Progress) -> list[OnTarget]:
    """Return the targets that were measured on, each as far as that went."""
    reached: dict[str, OnTarget] = {}

    def part(name: str, progress: Progress) -> None:
        reached[name] = _on(prepared, name, work)
        reached[name].time(progress)
        reached[name].more(progress)

    ends = at_once({name: partial(part, name) for name in prepared.targets}, progress)
    prepared.failed |= {name: end for name, end in ends.items() if end is not None}
    lost = {name for name in prepared.failed if name in reached and not reached[name].take_stock()}
    return [reached[name] for name in prepared.targets if name in reached and name not in lost]


def _on(prepared: Prepared, name: str, work: Path) -> OnTarget:
    """Reach a target and return it with all programs, none of which is timed yet."""
    inputs = work / "inputs"
    part = OnTarget(
        name,
        prepared.targets[name],
        entries=prepared.entries,
        inputs=Inputs(inputs, inputs, {}),
        settings=prepared.settings[name],
        limits=limits_on(prepared.asked.gates, name),
        journal=Journal(work / "measured" / name),
    )
    part.unscored()
    return part


def _fed(entry: Entry, samples: Sequence[Samples]) -> Iterator[Fed]:
    for each in samples:
        yield Fed(
            program=entry.name,
            name=each.input.name,
            dtype=each.input.dtype,
            shape=list(each.calls.shape[1:]),
            calls=len(each.calls),
            origin=each.origin,
        )
