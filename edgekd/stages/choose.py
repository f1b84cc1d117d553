"""Choose a program by measurement: the forms that a model can take, timed on the target in turns.

Which runtime, which kind of quantization, which type of activations and which graph level is the
fastest differs from model to model and from device to device, and so does what each loses.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from pydantic import Field
from torch import nn

from edgekd.core.config import Config, NonNegative
from edgekd.core.errors import Problem
from edgekd.core.kinds import stage
from edgekd.core.needs import Needs
from edgekd.core.protocols.stage import Preview, Run
from edgekd.core.protocols.values import Facts
from edgekd.core.refs import ModelRef, UseRuntime, UseTransform
from edgekd.core.rehearsal import Rehearsal
from edgekd.devices.kept import Journal
from edgekd.devices.settings import settle
from edgekd.devices.target import Bench, Target
from edgekd.models.folder import load_model
from edgekd.runtimes.parity import ANYTHING, Parity, for_untrained
from edgekd.train.check import (
    check_full_precision,
    check_paths,
    check_quantizable,
    check_transform,
)
from edgekd.train.needs import compression_needs, unbuilt
from edgekd.trial.candidates import Maker
from edgekd.trial.entry import Entry
from edgekd.trial.forms import Form, check_runtimes, forms, levels
from edgekd.trial.inputs import write_inputs
from edgekd.trial.leaving_out import can_leave_out, leaner
from edgekd.trial.race import Budget, Race, Racer

USUAL = ("int8_static", "int8_dynamic")
SAMPLES = "candidates.json"
"""Every raw latency in ms, by candidate and restart."""
CODE = (
    "measures",
    "devices",
    "trial",
    "targets/runners",
    "runtimes",
    "transforms/quantize",
    "stages/export.py",
    "stages/quantize.py",
)
"""What makes candidates and numbers without being imported here: it is found by name."""


class Choose(Config):
    """What is to run where, and among which forms the program is chosen."""

    model: ModelRef
    """The model in fp32, as `$student`."""
    target: str = "cpu"
    """The device that the program is chosen for, and timed on."""
    max_drop: NonNegative = 0.01
    """Most that the task's first measure may fall on the validation split against the model in
    fp32, in the measure's own unit."""
    runtimes: tuple[UseRuntime, ...] = ()
    """What may run it; all runtimes of the target where nothing is said."""
    transforms: tuple[UseTransform, ...] | None = None
    """Ways to quantize it, each tried beside fp32; where nothing is said, `int8_static`, and
    `int8_dynamic` for models whose weights are mostly not those of convolutions."""
    activations: tuple[Literal["uint8", "int8"], ...] = ("uint8", "int8")
    """Types of int8 activations to try where a transform leaves them open."""
    graph_levels: tuple[Literal["all", "extended", "basic", "off"], ...] = Field(
        default=("all", "extended", "off"), min_length=1
    )
    """How far ONNX Runtime may rewrite the graph: each is timed, unless the target says which."""
    leave_out: bool = True
    """Time the operators of ONNX Runtime's fastest `int8_static` program and of its fp32 one. Where
    layers take less time in fp32, the rounding around them counted, the program is tried with them
    in `exclude` too: one more at most, and two short measurements where nothing is found."""
    bench: Bench = Bench()
    """How much is measured; `restarts` of those that stay in the race."""
    parity: Parity = Parity()
    """How far a candidate may depart from the PyTorch model."""


def check(config: Choose, preview: Preview) -> Iterator[Problem]:
    """Yield what cannot be tried, and targets on which a latency means nothing."""
    yield from check_full_precision(config.model, preview, "model")
    model = preview.model(config.model)
    for index, transform in enumerate(config.transforms or ()):
        place = f"transforms[{index}]"
        if model is not None:
            yield from check_quantizable(transform, model, preview.task, place)
        yield from check_transform(transform, "quantize", place)
        exclude = getattr(transform.options, "exclude", ())
        yield from check_paths(exclude, model, preview.task, f"{place}.exclude")
    target = preview.targets.get(config.target)
    if target is None:
        return  # reported elsewhere
    if target["emulated"]:
        yield Problem(
            "target",
            f"target '{config.target}' is emulated: its latency means nothing.",
            "Choose on a real device.",
        )
    yield from check_runtimes(config.runtimes, config.target, target)


def estimate(config: Choose, preview: Preview) -> Needs | None:
    """Return what exporting the largest form takes; the disk has all of them at once."""
    target = preview.targets.get(config.target)
    needs = compression_needs(
        unbuilt(config.model, preview),
        preview.task,
        copies=5,
        examples=max([config.parity.samples, *map(_examples, _transforms(config, None))]),
        keeps="everything",
        lower=("examples of the transforms", "parity.samples", "the width of the model"),
    )
    if needs is None or target is None:
        return None
    made = _forms(config, target, unbuilt(config.model, preview))
    return replace(needs, disk_bytes=needs.disk_bytes * (len(made) + _more(config, made)))


def remarks(config: Choose, preview: Preview) -> Iterator[str]:
    """Yield how many programs are made and timed."""
    target = preview.targets.get(config.target)
    if target is not None:
        found = _forms(config, target, unbuilt(config.model, preview))
        timed = sum(len(_levels(config, target, form)) for form in found)
        more = _more(config, found)
        also = f", and up to {more} more with layers left out of int8" if more else ""
        yield f"makes {len(found)} programs and times them in {timed} ways on {config.target}{also}"


def rehearse(config: Choose, _run: Run) -> Rehearsal:
    """Return the same with no limit that weights must be trained for: speed and size decide."""
    update = {"max_drop": ANYTHING, "parity": for_untrained(config.parity)}
    return Rehearsal(config.model_copy(update=update))


@stage(
    config=Choose,
    makes="program",
    check=check,
    estimate=estimate,
    remarks=remarks,
    rehearse=rehearse,
    code=CODE,
    measures=True,
)
def choose(config: Choose, run: Run) -> Facts:
    """Return the facts of the program's export, and what became of every candidate."""
    written = run.targets[config.target]
    target = Target.model_validate(written)
    maker = Maker(run, config.model, config.target, config.parity)
    wanted = _forms(config, written, load_model(run.input(config.model)).module)
    candidates = maker.candidates(wanted, lambda form: _levels(config, written, form))
    entries = [candidate.entry() for candidate in candidates]
    settings = settle(target.bench, config.bench)
    with Journal(run.unfinished / "inputs").workshop() as folder:
        start = partial(
            Race,
            target,
            baselines=[c.name for c in candidates if c.form is wanted[0]],
            inputs=write_inputs(
                run.task, "validation", settings.samples, [entries[0].program.signature], folder
            ),
            settings=settings,
            budget=Budget(run.task.quality[0], config.max_drop),
        )
        race = first = start(entries, journal=Journal(run.unfinished / "measured"))
        best = race.run(run.progress)
        more = maker.able(leaner(candidates, race, best)) if config.leave_out else []
        if more:
            beside = [*_ahead(race, best), *(candidate.entry() for candidate in more)]
            race = start(beside, journal=Journal(run.unfinished / "measured_again"))
            best = race.run(run.progress)
    racers = {racer.entry.name: racer for racer in (*first.racers, *race.racers)}
    for doubt in race.doubts([best, race.baseline()]):
        run.notice(doubt)
    chosen = next(one for one in (*candidates, *more) if one.name == best.entry.name)
    facts = maker.take(chosen)
    raw = {n: [t.latencies_ms.round(6).tolist() for t in r.timings] for n, r in racers.items()}
    (run.out / SAMPLES).write_text(json.dumps(raw), "utf-8")
    return {**facts, **_found(config, race, [*racers.values()], best, maker.lost)}


def _ahead(race: Race, best: Racer) -> list[Entry]:
    """Return what later programs are timed beside: what all are compared with, and the fastest."""
    ahead = [race.racers[0], race.baseline(), best]
    return list({racer.entry.name: racer.entry for racer in ahead if racer}.values())


def _forms(config: Choose, target: Mapping[str, Any], model: nn.Module | None) -> list[Form]:
    runtimes = config.runtimes or tuple(map(UseRuntime.model_validate, target["runtimes"]))
    every = forms(runtimes, _transforms(config, model), config.activations)
    return list({form.name: form for form in every}.values())  # one may be named twice


def _more(config: Choose, found: Sequence[Form]) -> int:
    """Return how many programs may be made with layers left out: one of each runtime."""
    kinds = {form.runtime.kind for form in found if can_leave_out(form)}
    return len(kinds) if config.leave_out else 0


def _transforms(config: Choose, model: nn.Module | None) -> Sequence[UseTransform]:
    """Return the ways to quantize that are named, else those that say nothing against the model."""
    if config.transforms is not None:
        return config.transforms
    usual = [UseTransform.model_validate(name) for name in USUAL]
    return [use for use in usual if model is None or not _refuses(use, model)]


def _refuses(use: UseTransform, model: nn.Module) -> bool:
    told = use.plugin.traits.get("check")
    return bool(told and list(told(use.options, model)))


def _levels(config: Choose, target: Mapping[str, Any], form: Form) -> list[str]:
    """Return the levels to time a form at; a target that says which has the word."""
    fixed = target.get("graph_level")
    return levels(form.runtime, [fixed] if fixed else config.graph_levels) or [""]


def _examples(transform: UseTransform) -> int:
    return int(getattr(transform.options, "examples", 0))


def _found(
    config: Choose, race: Race, racers: Sequence[Racer], best: Racer, lost: Mapping[str, str]
) -> dict[str, Any]:
    """Return what became of every candidate, the fastest first, and of those never made."""
    order = sorted(racers, key=lambda r: r.median_ms if r.timings else float("inf"))
    rows = [
        {
            "name": racer.entry.name,
            "became": "chosen" if racer is best else racer.out or racer.behind or "in to the end",
            "quantities": {name: q.as_dict() for name, q in racer.quantities.items()},
            "restarts": len(racer.timings),
        }
        for racer in order
    ]
    rows += [
        {"name": name, "became": f"was not made: {why}", "quantities": {}, "restarts": 0}
        for name, why in lost.items()
    ]
    faster = best.quantities.get("speedup")
    gain = f", {faster} as fast as fp32" if faster and best is not race.baseline() else ""
    return {
        "says": f"{best.entry.name}, the best of {len(rows)}{gain}",
        "result": best.quantities.get("latency_p50_ms", "timed too few times to tell"),
        "targets": [config.target],
        "budget": {"quality": race.budget.quality, "most": race.budget.most},
        "candidates": rows,
    }
