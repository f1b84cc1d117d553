"""Remove weights physically; training the accuracy back is a later stage's work."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.nn import Module

from edgekd.core.config import Config, PositiveCount
from edgekd.core.errors import Problem
from edgekd.core.kinds import stage
from edgekd.core.needs import Needs
from edgekd.core.protocols.stage import Preview, Run
from edgekd.core.protocols.values import Batch, Facts
from edgekd.core.refs import ModelRef, UseTransform
from edgekd.core.seeds import sub_seed
from edgekd.models.folder import StoredModel, load_model, save_model
from edgekd.train.check import check_full_precision, check_paths, check_transform
from edgekd.train.evaluate import evaluate
from edgekd.train.needs import compression_needs, unbuilt
from edgekd.train.samples import take
from edgekd.transforms.budget import Latency
from edgekd.transforms.masks import masked, with_zeros
from edgekd.transforms.worth import size_only, smaller
from edgekd.trial.latency_budget import told, within_latency
from edgekd.trial.to_latency import Found

SAMPLES = 32
"""What a candidate is exported with."""


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
    own = [*getattr(config.transform.options, "ratios", ())]
    yield from check_paths(own, model, preview.task, "transform.ratios")
    latency = _latency(config)
    if latency is not None and latency.target in preview.targets:  # else reported elsewhere
        yield from _check_target(latency, preview.targets[latency.target])


def _check_target(latency: Latency, target: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield why a budget cannot be measured on a target."""
    runtime, has = latency.runtime.kind, target["runtimes"]
    if runtime not in has:
        yield Problem(
            "transform.latency.runtime",
            f"target '{latency.target}' lacks {runtime}; it has {', '.join(has)}.",
            "Install it there and list it under runtimes, or name another runtime.",
        )
    if target["emulated"]:
        yield Problem(
            "transform.latency.target",
            f"target '{latency.target}' is emulated: its latency means nothing.",
            "Name a real device, or give macs.",
        )


def estimate(config: Prune, preview: Preview) -> Needs | None:
    """Return what pruning takes: the model, what is cut, a copy that is tried, and gradients."""
    importance = getattr(config.transform.options, "importance", "")
    by_gradient = importance in ("taylor", "activation")
    return compression_needs(
        unbuilt(config.model, preview),
        preview.task,
        copies=5 if by_gradient else 3,
        examples=config.examples,
        keeps="batch" if by_gradient else "nothing",
        lower=("examples", "the width of the model"),
    )


@stage(
    config=Prune,
    makes="model",
    check=check,
    estimate=estimate,
    named=False,
    measures=lambda config: _latency(config) is not None,
    code=("targets/runners",),
)
def prune(config: Prune, run: Run) -> Facts:
    """Return the size and the work before and after, and how good the model still is.

    Of masks, what they are worth when it is compressed; of a budget in latency, all candidates.
    """
    stored = load_model(run.input(config.model))
    rng = torch.Generator().manual_seed(sub_seed(run.seed, "calibration"))
    batches = take(run.task, "train", config.examples, rng=rng)
    wanted, found = _latency(config), None
    if wanted is None:
        sparse = _pruned(config, stored, batches)
    else:
        found = _by_latency(config, wanted, stored, batches, run)
        sparse = found.model
    cpu = torch.device("cpu")
    score = evaluate(sparse, run.task, "validation", cpu, reference=stored.module)
    held = _held(config, stored, sparse)
    save_model(run.out, replace(stored, module=sparse, sparse=held))
    facts: dict[str, Any] = {"result": score, "measure": run.task.quality[0]}
    if config.transform.plugin.traits.get("masks", False):
        return facts | size_only(stored.module, sparse)
    facts |= smaller(stored.module, sparse, stored.signature, batches[0])
    return {**facts, **told(wanted, found, facts["says"])} if wanted and found else facts


def _latency(config: Prune) -> Latency | None:
    """Return the budget in latency, where that is what decides."""
    return getattr(config.transform.options, "latency", None)


def _pruned(config: Prune, stored: StoredModel, batches: Sequence[Batch], **amount: Any) -> Module:
    """Return what the transform leaves, with another amount where one is given."""
    options = config.transform.options.model_copy(update=amount)
    pruning = config.transform.plugin.build(options)
    sparse: Module = pruning(stored.module, signature=stored.signature, batches=batches)
    return sparse.eval()


def _by_latency(
    config: Prune, wanted: Latency, stored: StoredModel, batches: Sequence[Batch], run: Run
) -> Found:
    """Return the model that is as fast as wanted, found on the target itself."""
    options = config.transform.options
    numbered = "layers" in getattr(options, "parts", ())  # others have a layer's name when it goes
    holds = "ratios" in type(options).model_fields and not numbered

    def remove(ratio: float, held: Mapping[str, float]) -> Module:
        if ratio == 0 and not held:
            return stored.module
        own = {"ratios": {**getattr(options, "ratios", {}), **held}} if holds else {}
        return _pruned(config, stored, batches, ratio=ratio, latency=None, **own)

    most: float = getattr(options, "max_ratio")  # noqa: B009
    samples = take(run.task, "validation", SAMPLES)
    return within_latency(
        wanted, run, stored.signature, samples, remove=remove, holds=holds, most=most
    )


def _held(config: Prune, stored: StoredModel, sparse: Module) -> list[str]:
    """Return the weights whose zeros must stay: those that became zero now, or were before.

    Layers may have gone since, and others have their names now: what holds zeros is asked for.
    """
    if config.transform.plugin.traits.get("masks", False):
        return sorted({*stored.sparse, *masked(sparse, stored.module)})
    return with_zeros(sparse) if stored.sparse else []
