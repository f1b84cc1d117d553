"""Prepare a model for fewer bits: fix what is quantized, on which samples, and tell the cost."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

import torch
from pydantic import BeforeValidator

from edgekd.core.config import Config, PositiveCount, Share
from edgekd.core.errors import Problem
from edgekd.core.kinds import stage
from edgekd.core.needs import Needs
from edgekd.core.protocols import Batch, Facts, Preview, Run
from edgekd.core.quantity import Quantity
from edgekd.core.quantization import Int8Static
from edgekd.core.refs import ModelRef, UseTransform
from edgekd.core.seeds import sub_seed
from edgekd.models.folder import StoredModel, load_model, save_model
from edgekd.ops.named import at_rest
from edgekd.train.check import (
    check_by_layer,
    check_full_precision,
    check_paths,
    check_quantizable,
    check_transform,
)
from edgekd.train.evaluate import evaluate
from edgekd.train.exclusion import Choice, choose_excluded
from edgekd.train.needs import compression_needs, unbuilt
from edgekd.train.samples import take
from edgekd.train.sensitivity import Ranking, as_facts, rank_layers

DEFAULT_EXAMPLES = Int8Static().examples


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
    drawn = getattr(config.transform.options, "examples", DEFAULT_EXAMPLES)
    return compression_needs(
        unbuilt(config.model, preview),
        preview.task,
        copies=4,
        examples=max(drawn, config.sensitivity.examples if config.sensitivity else 0),
        lower=("transform.examples", "the width of the model"),
    )


@stage(config=Quantize, makes="model", check=check, estimate=estimate, named=False)
def quantize(config: Quantize, run: Run) -> Facts:
    """Return the validation score of the simulated quantized model beside the fp32 one's.

    The folder keeps the fp32 weights with the specification and the samples: each runtime
    quantizes for itself when the model is exported, from the same ranges' source.
    """
    stored = load_model(run.input(config.model))
    calibration = _calibration(config, stored, run)
    cpu = torch.device("cpu")
    before = evaluate(stored.module, run.task, "validation", cpu)
    transform, found = config.transform, dict[str, Any]()
    if config.sensitivity or config.budget:
        transform, found = _by_layer(config, stored, calibration, before, run)
    simulated = transform.build()(stored.module, signature=stored.signature, batches=calibration)
    after = evaluate(simulated, run.task, "validation", cpu)
    save_model(run.out, replace(stored, quantization=transform, calibration=calibration))
    left = _left(transform, stored.module)
    stays = f"; {', '.join(left)} stay in fp32" if left else ""
    says = f"{transform.kind}, {_change(before, after)} against fp32, simulated{stays}"
    return {
        "says": f"{says}; {found.pop('says')}" if found else says,
        "result": after,
        "measure": run.task.quality[0],
        "fp32": before,
        "left_in_fp32": left,
        "calibration_examples": sum(len(next(iter(batch.values()))) for batch in calibration),
        **found,
    }


def _by_layer(
    config: Quantize, stored: StoredModel, calibration: list[Batch], before: Quantity, run: Run
) -> tuple[UseTransform, dict[str, Any]]:
    """Return the transform with the layers left out that the budget asks for, and what was found.

    Ranges are taken once; each layer, and each choice of layers, is switched on and off in the
    one simulated graph.
    """
    options = config.transform.options
    simulated = config.transform.plugin.traits["by_layer"](
        options, stored.module, signature=stored.signature, batches=calibration
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
    rng = torch.Generator().manual_seed(sub_seed(run.seed, "calibration"))
    examples = getattr(config.transform.options, "examples", DEFAULT_EXAMPLES)
    inputs = [port.name for port in stored.signature.inputs]
    drawn = take(run.task, "train", examples, rng=rng)
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
