"""Prepare a model for fewer bits: fix what is quantized, on which samples, and tell the cost."""

from collections.abc import Iterator
from dataclasses import replace

import torch

from edgekd.core.config import Config
from edgekd.core.errors import Problem
from edgekd.core.kinds import stage
from edgekd.core.needs import Needs
from edgekd.core.protocols import Facts, Preview, Run
from edgekd.core.quantity import Quantity
from edgekd.core.quantization import Int8Static
from edgekd.core.refs import ModelRef, UseTransform
from edgekd.core.seeds import sub_seed
from edgekd.models.folder import load_model, save_model
from edgekd.ops.named import at_rest
from edgekd.train.check import (
    check_full_precision,
    check_paths,
    check_quantizable,
    check_transform,
)
from edgekd.train.evaluate import evaluate
from edgekd.train.needs import compression_needs, unbuilt
from edgekd.train.samples import take

DEFAULT_EXAMPLES = Int8Static().examples


class Quantize(Config):
    """What is quantized, and how."""

    model: ModelRef
    """The model to quantize, as `$student`."""
    transform: UseTransform
    """How to quantize it: `int8_static`, `int8_dynamic` or `int4_weights`."""


def check(config: Quantize, preview: Preview) -> Iterator[Problem]:
    """Yield that model and transform do not fit the stage, and excluded modules that are not."""
    yield from check_full_precision(config.model, preview, "model")
    yield from check_transform(config.transform, "quantize", "transform")
    exclude = getattr(config.transform.options, "exclude", ())
    model = preview.model(config.model)
    yield from check_paths(exclude, model, preview.task, "transform.exclude")
    if model is not None:
        yield from check_quantizable(config.transform, model, preview.task, "transform")


def estimate(config: Quantize, preview: Preview) -> Needs | None:
    """Return what quantizing takes: the model, its graph, what observes it, what simulates it."""
    return compression_needs(
        unbuilt(config.model, preview),
        preview.task,
        copies=4,
        examples=getattr(config.transform.options, "examples", DEFAULT_EXAMPLES),
        lower=("transform.examples", "the width of the model"),
    )


@stage(config=Quantize, makes="model", check=check, estimate=estimate, named=False)
def quantize(config: Quantize, run: Run) -> Facts:
    """Return the validation score of the simulated quantized model beside the fp32 one's.

    The folder keeps the fp32 weights with the specification and the samples: each runtime
    quantizes for itself when the model is exported, from the same ranges' source.
    """
    stored = load_model(run.input(config.model))
    rng = torch.Generator().manual_seed(sub_seed(run.seed, "calibration"))
    examples = getattr(config.transform.options, "examples", DEFAULT_EXAMPLES)
    inputs = [port.name for port in stored.signature.inputs]
    drawn = take(run.task, "train", examples, rng=rng)
    rested = [at_rest(stored.signature, batch) for batch in drawn]
    calibration = [{name: batch[name] for name in inputs} for batch in rested]
    simulated = config.transform.build()(
        stored.module, signature=stored.signature, batches=calibration
    )
    cpu = torch.device("cpu")
    before = evaluate(stored.module, run.task, "validation", cpu)
    after = evaluate(simulated, run.task, "validation", cpu)
    save_model(run.out, replace(stored, quantization=config.transform, calibration=calibration))
    left = _left(config.transform, stored.module)
    stays = f"; {', '.join(left)} stay in fp32" if left else ""
    return {
        "says": f"{config.transform.kind}, {_change(before, after)} against fp32, simulated{stays}",
        "result": after,
        "measure": run.task.quality[0],
        "fp32": before,
        "left_in_fp32": left,
        "calibration_examples": sum(len(batch[inputs[0]]) for batch in calibration),
    }


def _left(use: UseTransform, model: torch.nn.Module) -> list[str]:
    """Return what stays in fp32 though nobody excluded it, as far as the transform tells."""
    leaves = use.plugin.traits.get("leaves")
    return [*leaves(use.options, model)] if leaves else []


def _change(before: Quantity, after: Quantity) -> str:
    unit = "share_difference" if after.unit == "share" else after.unit
    change = after.value - before.value
    return f"{'+' if change >= 0 else ''}{Quantity(change, unit)}"
