"""Prepare a model for fewer bits: fix what is quantized, on which samples, and tell the cost."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

import torch
from pydantic import BeforeValidator, model_validator

from edgekd.core.config import Config, PositiveCount, Share
from edgekd.core.errors import Problem
from edgekd.core.kinds import measure, stage
from edgekd.core.needs import Needs
from edgekd.core.protocols.stage import Preview, Run
from edgekd.core.protocols.values import Batch, Facts
from edgekd.core.quantity import Quantity
from edgekd.core.refs import ModelRef, UseTransform
from edgekd.core.rehearsal import Rehearsal
from edgekd.models.folder import StoredModel, load_model, save_model
from edgekd.ops.named import at_rest
from edgekd.train.check import (
    check_by_layer,
    check_full_precision,
    check_paths,
    check_quantizable,
    check_transform,
)
from edgekd.train.evaluate import compares, evaluate
from edgekd.train.exclusion import Choice, choose_excluded
from edgekd.train.needs import compression_needs, unbuilt
from edgekd.train.samples import calibration, calibration_examples, take
from edgekd.train.sensitivity import Ranking, as_facts, rank_layers


def _switched(value: object) -> object:
    """Take `true` for the defaults and `false` for none."""
    return ({} if value else None) if isinstance(value, bool) else value


class Sensitivity(Config):
    """How the layers are measured."""

    examples: PositiveCount = 512
    """How many validation examples each layer is measured on."""


class Budget(Config):
    """What quantization may cost."""

    accuracy_drop: Share
    """Most that the task's first score may fall on the validation split, simulated: 0.003 is 0.3
    points of accuracy. The value counts and not its interval, which is mostly wider."""


class Quantize(Config):
    """What is quantized, and how."""

    model: ModelRef
    """The model to quantize, as `$student`."""
    transform: UseTransform
    """How to quantize it: `int8_static`, `int8_dynamic` or `int4_weights`."""
    sensitivity: Annotated[
        Sensitivity | None,
        BeforeValidator(_switched, json_schema_input_type=Sensitivity | bool | None),
    ] = None
    """Quantize each layer alone and rank them by what it costs: `true`, or `{examples: 2000}`."""
    budget: Budget | None = None
    """Leave the layers that cost most in fp32, as few as keep this: `{accuracy_drop: 0.003}`."""
    simulate: bool = True
    """Score the model on the validation split with and without its rounding, in PyTorch. `false`
    leaves that to a `validate` stage, which scores the programs themselves."""

    @model_validator(mode="after")
    def _simulated_where_scored(self) -> "Quantize":
        for asked in ("sensitivity", "budget"):
            if not self.simulate and getattr(self, asked) is not None:
                raise ValueError(
                    f"{asked} needs the rounding simulated: leave out {asked} or simulate: false"
                )
        return self


def check(config: Quantize, preview: Preview) -> Iterator[Problem]:
    """Yield that model and transform do not fit the stage, and excluded modules that are not."""
    yield from check_full_precision(config.model, preview, "model")
    yield from check_transform(config.transform, "quantize", "transform")
    exclude = getattr(config.transform.options, "exclude", ())
    model = preview.model(config.model)
    yield from check_paths(exclude, model, preview.task, "transform.exclude")
    if model is not None:
        yield from check_quantizable(config.transform, model, preview.task, "transform")
    for asked in ("sensitivity", "budget"):
        if getattr(config, asked) is not None:
            yield from check_by_layer(config.transform, asked)


def estimate(config: Quantize, preview: Preview) -> Needs | None:
    """Return what quantizing takes: the model, its graph, what observes it, what simulates it."""
    drawn = calibration_examples(config.transform)
    return compression_needs(
        unbuilt(config.model, preview),
        preview.task,
        copies=4,
        examples=max(drawn, config.sensitivity.examples if config.sensitivity else 0),
        lower=("transform.examples", "the width of the model"),
    )


def rehearse(config: Quantize, _run: Run) -> Rehearsal:
    """Return the same without a budget, which layers of untrained weights cannot tell apart.

    The layers are ranked all the same, as they are for a budget: all of them stay in 8 bits.
    """
    if config.budget is None:
        return Rehearsal(config)
    update = {"budget": None, "sensitivity": config.sensitivity or Sensitivity()}
    return Rehearsal(config.model_copy(update=update))


@stage(
    config=Quantize,
    makes="model",
    check=check,
    estimate=estimate,
    rehearse=rehearse,
    named=False,
)
def quantize(config: Quantize, run: Run) -> Facts:
    """Return the validation score of the simulated quantized model beside the fp32 one's, if asked.

    The folder keeps the fp32 weights with the specification and the samples: each runtime
    quantizes for itself when the model is exported, from the same ranges' source.
    """
    stored = load_model(run.input(config.model))
    samples = _calibration(config, stored, run)
    transform, found = config.transform, dict[str, Any]()
    if config.simulate:
        transform, found = _scored(config, stored, samples, run)
    save_model(run.out, replace(stored, quantization=transform, calibration=samples))
    left = _left(transform, stored.module)
    stays = f"; {', '.join(left)} stay in fp32" if left else ""
    costs, more = found.pop("costs", "not simulated"), found.pop("says", "")
    says = f"{transform.kind}, {costs}{stays}"
    return {
        "says": f"{says}; {more}" if more else says,
        "left_in_fp32": left,
        "calibration_examples": sum(len(next(iter(batch.values()))) for batch in samples),
        **found,
    }


def _scored(
    config: Quantize, stored: StoredModel, samples: list[Batch], run: Run
) -> tuple[UseTransform, dict[str, Any]]:
    """Return the transform as it was settled, and what the model loses by it, simulated."""
    cpu = torch.device("cpu")
    beside = {"reference": stored.module}
    before = evaluate(stored.module, run.task, "validation", cpu, **beside)
    transform, found = config.transform, dict[str, Any]()
    if config.sensitivity or config.budget:
        transform, found = _by_layer(config, stored, samples, before, run)
    simulated = transform.build()(stored.module, signature=stored.signature, batches=samples)
    after = evaluate(simulated, run.task, "validation", cpu, **beside)
    alike = compares(measure.get(run.task.quality[0]))
    change = "the same answer as in fp32" if alike else f"{_change(before, after)} against fp32"
    return transform, {
        "costs": f"{change}, simulated",
        "result": after,
        "measure": run.task.quality[0],
        "fp32": before,
        **found,
    }


def _by_layer(
    config: Quantize, stored: StoredModel, samples: list[Batch], before: Quantity, run: Run
) -> tuple[UseTransform, dict[str, Any]]:
    """Return the transform with the layers left out that the budget asks for, and what was found.

    Ranges are taken once; each layer, and each choice of layers, is switched on and off in the
    one simulated graph.
    """
    options = config.transform.options
    simulated = config.transform.plugin.traits["by_layer"](
        options, stored.module, signature=stored.signature, batches=samples
    )
    examples = (config.sensitivity or Sensitivity()).examples
    ranking = rank_layers(
        simulated,
        run.task,
        stored.signature,
        take(run.task, "validation", examples),
        lambda done, total: run.progress(done, total, "layers alone in 8 bits"),
    )
    if config.budget is None:
        return config.transform, {"says": _worst(ranking), "sensitivity": as_facts(ranking, ())}
    choice = choose_excluded(
        simulated,
        ranking,
        run.task,
        before,
        most=config.budget.accuracy_drop,
        progress=lambda done, total: run.progress(done, total, "choices of layers, at most"),
    )
    if not choice.kept:
        run.notice(_not_kept(config.budget, choice))
    excluded = (*getattr(options, "exclude", ()), *choice.excluded)
    use = config.transform.model_copy(
        update={"options": options.model_copy(update={"exclude": excluded})}
    )
    facts = as_facts(ranking, choice.excluded) | {
        "budget": config.budget.accuracy_drop,
        "kept": choice.kept,
        "tried": choice.tried,
    }
    return use, {"says": _chosen(config.budget, choice, len(ranking.layers)), "sensitivity": facts}


def _worst(ranking: Ranking) -> str:
    if not ranking.layers:
        return "no layer of its own to rank"
    worst = ranking.layers[0]
    return f"most sensitive: {worst.path}, {Quantity(worst.error, 'share')} error alone"


def _chosen(budget: Budget, choice: Choice, layers: int) -> str:
    limit = Quantity(budget.accuracy_drop, "share_difference")
    if not choice.kept:
        return f"a budget of {limit} cannot be kept"
    return f"{len(choice.excluded)} of {layers} layers left in fp32 to keep {limit}"


def _not_kept(budget: Budget, choice: Choice) -> str:
    limit, lost = (
        Quantity(value, "share_difference") for value in (budget.accuracy_drop, choice.lost)
    )
    return (
        f"budget.accuracy_drop: {limit} cannot be kept by leaving layers out: with all of them in "
        f"fp32 the simulated model still loses {lost}, to operators that stand between layers. "
        "None was left out."
    )


def _calibration(config: Quantize, stored: StoredModel, run: Run) -> list[Batch]:
    """Return the inputs of training examples, drawn by the stage's seed."""
    inputs = [port.name for port in stored.signature.inputs]
    drawn = calibration(run.task, config.transform, run.seed)
    rested = [at_rest(stored.signature, batch) for batch in drawn]
    return [{name: batch[name] for name in inputs} for batch in rested]


def _left(use: UseTransform, model: torch.nn.Module) -> list[str]:
    """Return what stays in fp32 though nobody excluded it, as far as the transform tells."""
    leaves = use.plugin.traits.get("leaves")
    return [*leaves(use.options, model)] if leaves else []


def _change(before: Quantity, after: Quantity) -> str:
    unit = "share_difference" if after.unit == "share" else after.unit
    change = after.value - before.value
    return f"{'+' if change >= 0 else ''}{Quantity(change, unit)}"
