"""Remove weights physically; training the accuracy back is a later stage's work."""

from collections.abc import Iterator
from dataclasses import replace

import torch

from edgekd.core.config import Config, PositiveCount
from edgekd.core.errors import Problem
from edgekd.core.kinds import stage
from edgekd.core.needs import Needs
from edgekd.core.protocols import Facts, Preview, Run
from edgekd.core.refs import ModelRef, UseTransform
from edgekd.core.seeds import sub_seed
from edgekd.models.folder import load_model, save_model
from edgekd.ops.cost import cost
from edgekd.train.check import check_full_precision, check_paths, check_transform
from edgekd.train.evaluate import evaluate
from edgekd.train.needs import compression_needs, unbuilt
from edgekd.train.samples import take


class Prune(Config):
    """What is made smaller, and how."""

    model: ModelRef
    """The model to make smaller, as `$student`."""
    transform: UseTransform
    """How to make it smaller."""
    examples: PositiveCount = 256
    """Training examples that the transform may look at."""


def check(config: Prune, preview: Preview) -> Iterator[Problem]:
    """Yield that model and transform do not fit the stage, and excluded modules that are not."""
    yield from check_full_precision(config.model, preview, "model")
    yield from check_transform(config.transform, "prune", "transform")
    exclude = getattr(config.transform.options, "exclude", ())
    model = preview.model(config.model)
    yield from check_paths(exclude, model, preview.task, "transform.exclude")


def estimate(config: Prune, preview: Preview) -> Needs | None:
    """Return what pruning takes: the model, what is cut, a copy that is tried, and gradients."""
    by_gradient = getattr(config.transform.options, "importance", "") == "taylor"
    return compression_needs(
        unbuilt(config.model, preview),
        preview.task,
        copies=5 if by_gradient else 3,
        examples=config.examples,
        keeps="batch" if by_gradient else "nothing",
        lower=("examples", "the width of the model"),
    )


@stage(config=Prune, makes="model", check=check, estimate=estimate, named=False)
def prune(config: Prune, run: Run) -> Facts:
    """Return the size and the work before and after, and how good the model still is."""
    stored = load_model(run.input(config.model))
    rng = torch.Generator().manual_seed(sub_seed(run.seed, "calibration"))
    batches = take(run.task, "train", config.examples, rng=rng)
    sparse = config.transform.build()(
        stored.module, signature=stored.signature, batches=batches
    ).eval()
    before = cost(stored.module, stored.signature, batches[0])
    after = cost(sparse, stored.signature, batches[0])
    score = evaluate(sparse, run.task, "validation", torch.device("cpu"))
    save_model(run.out, replace(stored, module=sparse))
    return {
        "says": f"{after.parameters:,} of {before.parameters:,} parameters stay, "
        f"{after.macs:,} of {before.macs:,} MACs",
        "result": score,
        "measure": run.task.quality[0],
        "parameters": after.parameters,
        "parameters_before": before.parameters,
        "macs": after.macs,
        "macs_before": before.macs,
    }
