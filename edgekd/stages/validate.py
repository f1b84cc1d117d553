"""Measure programs on the target itself, and judge whether the contract is kept."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from edgekd.core import kinds
from edgekd.core.config import Config
from edgekd.core.errors import EdgekdError, Problem
from edgekd.core.kinds import stage
from edgekd.core.needs import Needs
from edgekd.core.protocols.stage import Preview, Run
from edgekd.core.protocols.values import Facts
from edgekd.core.refs import ProgramRef
from edgekd.core.rehearsal import Rehearsal
from edgekd.core.results import Measurements, Role
from edgekd.devices.kept import Journal
from edgekd.devices.settings import Settings, least_seconds, quickly, settle
from edgekd.devices.target import Bench, Target
from edgekd.measures.contract import Gates, terms
from edgekd.measures.verdict import limits_on
from edgekd.runtimes.folder import load_program
from edgekd.train.check import check_gates
from edgekd.train.evaluate import compares
from edgekd.train.needs import measurement_needs, unbuilt
from edgekd.trial.at_once import as_one, at_once
from edgekd.trial.entry import Entry
from edgekd.trial.inputs import Inputs, time_preparing, write_inputs
from edgekd.trial.on_target import OnTarget, Progress


class Validate(Config):
    """What is measured, where, and what it must keep."""

    programs: tuple[ProgramRef, ...] = Field(min_length=1)
    """The candidates: they must keep the gates."""
    reference: ProgramRef
    """What they are compared with, usually the teacher."""
    along: tuple[ProgramRef, ...] = ()
    """What else is measured to show the way there; no gate applies."""
    targets: tuple[str, ...] = Field(default=("cpu",), min_length=1)
    """Devices to measure on, by the names of their files in `targets/`."""
    split: Literal["test", "validation"] = "test"
    """The examples that quality is scored on."""
    bench: Bench = Bench()
    """How much is measured."""
    gates: Gates = Field(default_factory=dict)
    """Limits by name, as `latency_p50_ms: "<= 5"`; a mapping gives one per target."""
    allow_inconclusive: bool = False
    """Do not count a gate as failed whose interval reaches across its limit."""

    @model_validator(mode="after")
    def _named_once(self) -> "Validate":
        names = [ref.stage for ref in (self.reference, *self.along, *self.programs)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"'${twice[0]}' is named twice; a program is the reference, along, or a candidate"
            )
        for name, limits in self.gates.items():
            strange = [] if isinstance(limits, str) else sorted({*limits} - {*self.targets})
            if strange:
                raise ValueError(
                    f"gate '{name}' names the target '{strange[0]}', which is not measured here: "
                    f"targets are {', '.join(self.targets)}"
                )
        return self


def check(config: Validate, preview: Preview) -> Iterator[Problem]:
    """Yield the programs that a target cannot run: the candidates and what they stand beside."""
    places = [("reference", config.reference)]
    for part in ("along", "programs"):
        refs: tuple[ProgramRef, ...] = getattr(config, part)
        places += [(f"{part}[{index}]", ref) for index, ref in enumerate(refs)]
    known = sorted({*config.targets} & {*preview.targets})  # an unknown one is reported elsewhere
    for place, ref in places:
        runtime = preview.runtime(ref)
        for name in known:
            has = preview.targets[name]["runtimes"]
            if runtime and runtime not in has:
                yield Problem(
                    place,
                    f"{ref} needs {runtime}, which target '{name}' lacks; it has {', '.join(has)}.",
                    "Install it there and list it under runtimes, or export for another runtime.",
                )
    yield from check_gates(config.gates, preview.task)


CODE = ("measures", "devices", "trial", "targets/runners")
"""What makes the numbers without being imported here: plug-ins, and what runs on the device."""


DOCUMENT = "measurements.json"
JUDGES = ("gates", "allow_inconclusive")


def estimate(config: Validate, preview: Preview) -> Needs | None:
    """Return what measuring takes: the programs' answers, and one process that runs them."""
    refs = (config.reference, *config.along, *config.programs)
    models = [unbuilt(ref, preview) for ref in refs]
    return measurement_needs(models, preview.task, config.split)


def rehearse(config: Validate, run: Run) -> Rehearsal:
    """Return the same in mode quick, with the gates that do not ask what the answers are worth."""
    known = terms()
    gates = {name: limit for name, limit in config.gates.items() if not known[name].estimated}
    asked = config.model_copy(update={"bench": quickly(config.bench), "gates": gates})
    return Rehearsal(asked, beyond=partial(_beyond, config, asked, run))


def _beyond(config: Validate, asked: Validate, run: Run, hidden: Mapping[str, int]) -> float:
    """Return how much longer it takes to measure as the file asks, and all examples, in seconds."""
    document = Measurements.model_validate_json((run.out / DOCUMENT).read_bytes())
    longer = 0.0
    for one in document.measurements:
        target = Target.model_validate(run.targets[one.target])
        if (p50 := one.quantities.get("latency_p50_ms")) is None:
            continue
        each = p50.value / 1000
        whole, quick = (settle(target.bench, bench) for bench in (config.bench, asked.bench))
        longer += least_seconds(whole, each) - least_seconds(quick, each)
        longer += each * hidden[config.split]
    return longer


@stage(
    config=Validate,
    makes="measurements",
    check=check,
    estimate=estimate,
    rehearse=rehearse,
    code=CODE,
    computes=False,
    measures=True,
    judges=JUDGES,
)
def validate(config: Validate, run: Run) -> Facts:
    """Return the verdicts; a gate that fails is a result and no error."""
    entries = list(_entries(config, run))
    targets = {name: Target.model_validate(run.targets[name]) for name in config.targets}
    settings = {name: settle(target.bench, config.bench) for name, target in targets.items()}
    with _anew(run.unfinished / "inputs") as folder:
        inputs = write_inputs(
            run.task,
            config.split,
            max(s.samples for s in settings.values()),
            [entry.program.signature for entry in entries],
            folder,
        )
        reach = partial(_reach, config, run, targets, settings, entries, inputs)
        prepared = time_preparing(run.task, max(s.samples for s in settings.values()))
        parts = _measured({name: partial(reach, name) for name in targets}, run)
    document = Measurements(
        reference=config.reference.stage,
        split=config.split,
        examples=run.task.size(config.split),
        targets=[part.described() for part in parts],
        programs=[entry.described() for entry in entries],
        measurements=[m for part in parts for m in part.measurements(run.out)],
        quality=[q for part in parts for q in part.quality()],
        gates=[gate for part in parts for gate in part.gates()],
        preparing=prepared,
    )
    (run.out / DOCUMENT).write_text(document.model_dump_json(indent=1) + "\n", "utf-8")
    for failed in document.failures():
        run.notice(f"{failed.program} on {failed.target} {failed.happened}")
    unlabelled = compares(kinds.measure.get(run.task.quality[0]))
    return _facts(config, document, "; no labels: agreement only" if unlabelled else "")


@contextmanager
def _anew(folder: Path) -> Iterator[Path]:
    """Give an empty folder for a while; what a killed run left of it goes first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _reach(
    config: Validate,
    run: Run,
    targets: Mapping[str, Target],
    settings: Mapping[str, Settings],
    entries: Sequence[Entry],
    inputs: Inputs,
    name: str,
) -> OnTarget:
    """Return a target with all programs, none of which was run yet."""
    only_emulated = all(target.emulated for target in targets.values())
    exempt = targets[name].emulated and not only_emulated
    return OnTarget(
        name,
        targets[name],
        entries=entries,
        inputs=inputs,
        settings=settings[name],
        limits=limits_on(config.gates, name, exempt=exempt),
        journal=Journal(run.unfinished / "measured" / name),
    )


def _measured(reach: Mapping[str, Callable[[], OnTarget]], run: Run) -> list[OnTarget]:
    """Score on every target, then time on every real one, all targets at once.

    Where one fails, that is raised once the others are done; what they measured is kept.
    """

    def work(name: str, progress: Progress) -> OnTarget:
        part = reach[name]()
        part.score(progress)
        if not part.target.emulated:
            part.time(progress)
            part.more(progress)
        return part

    ends = at_once({name: partial(work, name) for name in reach}, run.progress)
    failed = {name: end for name, end in ends.items() if isinstance(end, EdgekdError)}
    if failed:
        raise as_one(failed)
    run.progress(len(ends), len(ends), "measured")
    return [end for end in ends.values() if isinstance(end, OnTarget)]


def _entries(config: Validate, run: Run) -> Iterator[Entry]:
    """Yield the programs in the order of the report; the user's name for each is the stage's."""
    roles: list[tuple[Role, Sequence[ProgramRef]]] = [
        ("reference", (config.reference,)),
        ("along", config.along),
        ("candidate", config.programs),
    ]
    for role, refs in roles:
        for ref in refs:
            program = load_program(run.input(ref))
            yield Entry(ref.stage, role, run.input(ref) / program.file, program)


def _facts(config: Validate, found: Measurements, scored: str) -> Facts:
    """Return the verdicts for people and for the exit code; `scored` says what quality means."""
    failing = {"fail"} if config.allow_inconclusive else {"fail", "inconclusive"}
    failed = sum(gate.verdict in failing for gate in found.gates)
    result = f"{failed} of {len(found.gates)} gates not kept" if failed else "contract kept"
    failures = found.failures()
    lost = f", {len(failures)} failed" if failures else ""
    return {
        "says": f"{len(found.programs)} programs on {', '.join(config.targets)}{lost}{scored}",
        "result": result if found.gates else "no gates",
        "gates_failed": failed,
        "failures": [m.model_dump(include={"program", "target", "failure"}) for m in failures],
        "gates": [
            gate.model_dump(include={"name", "target", "program", "limit", "verdict", "reason"})
            | {"measured": str(gate.measured) if gate.measured else None}
            for gate in found.gates
        ],
    }
