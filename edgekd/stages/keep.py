"""Keep what a stage made only where it pays on the targets; else pass on what it was made from.

Fewer channels or bits are worth having where they make a program faster or smaller there, and
cost no more quality than is allowed. Both models are exported and measured in turns.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from edgekd.core.artifact import MANIFEST
from edgekd.core.config import Config, NonNegative
from edgekd.core.errors import Problem, StageError
from edgekd.core.kinds import stage
from edgekd.core.needs import Needs
from edgekd.core.protocols.stage import Preview, Run
from edgekd.core.protocols.values import Facts
from edgekd.core.quantity import Quantity
from edgekd.core.refs import ModelRef, Ref, UseRuntime
from edgekd.core.rehearsal import Rehearsal
from edgekd.devices.kept import Journal
from edgekd.devices.settings import settle
from edgekd.devices.target import Bench, Target
from edgekd.ops.statistics import ratio_interval
from edgekd.runtimes.folder import load_program
from edgekd.runtimes.parity import ANYTHING, Parity, for_untrained
from edgekd.train.check import quantization_of
from edgekd.train.needs import compression_needs, unbuilt
from edgekd.trial.candidates import reason
from edgekd.trial.delegate import made
from edgekd.trial.entry import Entry
from edgekd.trial.forms import check_runtimes
from edgekd.trial.inputs import write_inputs
from edgekd.trial.race import Budget, Race, Racer

CODE = (
    "measures",
    "devices",
    "trial",
    "targets/runners",
    "runtimes",
    "transforms/quantize",
    "stages/export.py",
)
"""What makes programs and numbers without being imported here: it is found by name."""
SMALLER = 0.01
"""Least share of the size that must go to count."""
NEVER = float("inf")


class Keep(Config):
    """What was made, from what, and where it must pay."""

    model: ModelRef
    """The model that is kept where it pays, as `$pruned`."""
    before: ModelRef
    """The model that is passed on where it does not."""
    targets: tuple[str, ...] = Field(default=("cpu",), min_length=1)
    """Devices on which it must pay: on one it is faster or smaller, on none slower."""
    max_drop: NonNegative = 0.01
    """Most that the task's first measure may fall on the validation split against the model
    before, in the measure's own unit."""
    runtimes: tuple[UseRuntime, ...] = ()
    """What may run it; all runtimes of a target where nothing is said. The fastest counts."""
    bench: Bench = Bench()
    """How much is measured."""
    parity: Parity = Parity()
    """How far a program may depart from its PyTorch model; one that departs further is none."""


@dataclass(frozen=True)
class Outcome:
    """What became of the comparison on one target."""

    target: str
    objection: str
    """Why the model does not pay there; empty where nothing speaks against it."""
    gains: Sequence[str]
    """What it gains there, as `1.4x [1.3, 1.5] as fast`."""
    ratio: Quantity | None


def check(config: Keep, preview: Preview) -> Iterator[Problem]:
    """Yield targets that are emulated, and runtimes that one lacks."""
    for index, name in enumerate(config.targets):
        target = preview.targets.get(name)
        if target is None:
            continue  # reported elsewhere
        if target["emulated"]:
            yield Problem(
                f"targets[{index}]",
                f"target '{name}' is emulated: whether a model pays there cannot be told.",
                "Name real devices.",
            )
        yield from check_runtimes(config.runtimes, name, target)
        yield from _check_quantized(config, name, target, preview)


def _check_quantized(
    config: Keep, name: str, target: Mapping[str, Any], preview: Preview
) -> Iterator[Problem]:
    """Yield the runtimes of a target that cannot follow how the model is quantized."""
    quantization = quantization_of(config.model, preview)
    for use in config.runtimes or map(UseRuntime.model_validate, target["runtimes"]):
        refuses = use.plugin.traits.get("check")
        for problem in refuses(quantization) if refuses and quantization else ():
            step = f"Name under runtimes what shall run it on '{name}', without {use.kind}."
            yield Problem("runtimes", problem.message, step)


def estimate(config: Keep, preview: Preview) -> Needs | None:
    """Return what exporting takes."""
    lower = ("examples of the stage that quantizes", "the width of the model")
    model = unbuilt(config.before, preview)
    return compression_needs(model, preview.task, copies=5, examples=Parity().samples, lower=lower)


def rehearse(config: Keep, _run: Run) -> Rehearsal:
    """Return the same with no limit that weights must be trained for: speed and size decide."""
    update = {"max_drop": ANYTHING, "parity": for_untrained(config.parity)}
    return Rehearsal(config.model_copy(update=update))


@stage(
    config=Keep,
    makes="model",
    check=check,
    estimate=estimate,
    rehearse=rehearse,
    code=CODE,
    measures=True,
    named=False,
)
def keep(config: Keep, run: Run) -> Facts:
    """Return what speaks for the model and what against it; the one that is kept is the result."""
    races = {name: _race(config, name, run) for name in config.targets}
    outcomes = [_outcome(config, name, *found) for name, found in races.items()]
    objections = [f"{o.objection} on {o.target}" for o in outcomes if o.objection]
    gains = [f"{' and '.join(o.gains)} on {o.target}" for o in outcomes if o.gains]
    pays = bool(gains) and not objections
    ref = config.model if pays else config.before
    source = run.input(ref)
    shutil.copytree(source, run.out, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST))
    why = ", ".join(gains if pays else objections or ["neither faster nor smaller"])
    ratio = next((o.ratio for o in outcomes if o.ratio), None)
    return {
        "says": f"it pays: {why}" if pays else f"does not pay, {config.before} is passed on: {why}",
        "result": ratio or "not measured",
        "pays": pays,
        "targets": list(config.targets),
        "budget": {"quality": run.task.quality[0], "most": config.max_drop},
        "candidates": [
            row
            for name, found in races.items()
            for row in _rows(*found, ref, name if len(races) > 1 else "")
        ],
    }


def _race(config: Keep, name: str, run: Run) -> tuple[Race, dict[str, str]]:
    """Return all programs of both models on a target, measured, and why others were not made."""
    target = Target.model_validate(run.targets[name])
    runtimes = config.runtimes or tuple(map(UseRuntime.model_validate, target.runtimes))
    before = [_entry(config, config.before, runtime, name, run) for runtime in runtimes]
    after: list[Entry] = []
    lost: dict[str, str] = {}
    for runtime in runtimes:
        try:
            after.append(_entry(config, config.model, runtime, name, run))
        except StageError as error:  # as where int8 departs too far: then it does not pay
            lost[_called(config.model, runtime)] = reason(error)
    settings = settle(target.bench, config.bench)
    with Journal(run.unfinished / "inputs").workshop() as folder:
        signatures = [entry.program.signature for entry in before]
        race = Race(
            target,
            [*before, *after],
            baselines=[entry.name for entry in before],
            inputs=write_inputs(run.task, "validation", settings.samples, signatures, folder),
            settings=settings,
            budget=Budget(run.task.quality[0], config.max_drop),
            journal=Journal(run.unfinished / "measured" / name),
            far_behind=NEVER,
        )
        race.run(run.progress)
    for doubt in race.doubts(race.racers):
        run.notice(f"{doubt} (on {name})")
    return race, lost


def _entry(config: Keep, ref: Ref, runtime: UseRuntime, target: str, run: Run) -> Entry:
    """Return the program of a model for a runtime, exported once."""
    name = _called(ref, runtime)
    run.progress(0, 1, f"exporting {name}")
    options = {"model": str(ref), "runtime": runtime, "target": target, "parity": config.parity}
    folder = made("export", options, run, {ref.stage: run.input(ref)}).folder
    program = load_program(folder)
    return Entry(name, "candidate", folder / program.file, program)


def _called(ref: Ref, runtime: UseRuntime) -> str:
    return f"{ref.stage} {runtime.kind}"


def _outcome(config: Keep, target: str, race: Race, lost: Mapping[str, str]) -> Outcome:
    """Return what the model gains on a target, and what speaks against it."""
    before, after = (
        [racer for racer in race.racers if racer.entry.program.model == ref.stage]
        for ref in (config.before, config.model)
    )
    able = [racer for racer in after if not racer.out]
    if not able:
        return Outcome(target, next(iter([*(r.out for r in after), *lost.values()])), (), None)
    known = [racer for racer in before if racer.timings]
    if not known:
        return Outcome(target, "", (f"it runs, and {config.before} does not",), None)
    old, new = (min(racers, key=lambda r: r.median_ms) for racers in (known, able))
    ratio = _ratio(old, new)
    gains = []
    if ratio.low is not None and ratio.low > 1:
        gains.append(f"{ratio} as fast")
    share = 1 - new.entry.size_bytes / old.entry.size_bytes
    if share >= SMALLER:
        gains.append(f"{share:.0%} smaller".replace("%", " %"))
    slower = ratio.high is not None and ratio.high < 1
    return Outcome(target, f"only {ratio} as fast" if slower else "", gains, ratio)


def _ratio(old: Racer, new: Racer) -> Quantity:
    """Return how many times as fast the new one is, restarts paired."""
    above, below = ([timing.latencies_ms for timing in racer.timings] for racer in (old, new))
    both = min(len(above), len(below))
    low, high = ratio_interval(above[:both], below[:both]) or (None, None)
    return Quantity(old.median_ms / new.median_ms, "x", low, high, both)


def _rows(race: Race, lost: Mapping[str, str], taken: Ref, target: str) -> Iterator[dict[str, Any]]:
    """Yield every program as the report lists it."""
    for racer in race.racers:
        kept = racer.entry.program.model == taken.stage
        yield {
            "name": f"{racer.entry.name} {target}".strip(),
            "became": racer.out or ("kept" if kept else "not kept"),
            "quantities": {name: q.as_dict() for name, q in racer.quantities.items()},
            "restarts": len(racer.timings),
        }
    for name, why in lost.items():
        became = f"was not made: {why}"
        row = {"name": f"{name} {target}".strip(), "became": became, "quantities": {}}
        yield row | {"restarts": 0}
