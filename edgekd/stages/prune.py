"""Remove weights physically; training the accuracy back is a later stage's work."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.nn import Module

from edgekd.core.config import Config, PositiveCount
from edgekd.core.errors import Problem
from edgekd.core.kinds import stage
from edgekd.core.needs import Needs
from edgekd.core.protocols import Batch, Facts, Preview, Run
from edgekd.core.refs import ModelRef, UseTransform
from edgekd.core.seeds import sub_seed
from edgekd.devices.settings import settle
from edgekd.devices.target import Bench, Target
from edgekd.models.folder import StoredModel, load_model, save_model
from edgekd.ops.cost import cost
from edgekd.ops.named import at_rest
from edgekd.train.check import check_full_precision, check_paths, check_transform
from edgekd.train.evaluate import evaluate
from edgekd.train.needs import compression_needs, unbuilt
from edgekd.train.samples import take
from edgekd.transforms.budget import Latency
from edgekd.trial.inputs import write_samples
from edgekd.trial.to_latency import Found, Search, close

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

    Where the budget is one in latency, also what was measured of each candidate.
    """
    stored = load_model(run.input(config.model))
    rng = torch.Generator().manual_seed(sub_seed(run.seed, "calibration"))
    batches = take(run.task, "train", config.examples, rng=rng)
    found = _by_latency(config, stored, batches, run) if _latency(config) else None
    sparse = found.model if found else _pruned(config, stored, batches)
    before = cost(stored.module, stored.signature, batches[0])
    after = cost(sparse, stored.signature, batches[0])
    score = evaluate(sparse, run.task, "validation", torch.device("cpu"))
    save_model(run.out, StoredModel(sparse, stored.use, stored.signature, stored.facts))
    says = (
        f"{after.parameters:,} of {before.parameters:,} parameters stay, "
        f"{after.macs:,} of {before.macs:,} MACs"
    )
    facts = {
        "says": says,
        "result": score,
        "measure": run.task.quality[0],
        "parameters": after.parameters,
        "parameters_before": before.parameters,
        "macs": after.macs,
        "macs_before": before.macs,
    }
    return {**facts, **_timed(config, found, says)} if found else facts


def _latency(config: Prune) -> Latency | None:
    """Return the budget in latency, where that is what decides."""
    return getattr(config.transform.options, "latency", None)


def _pruned(config: Prune, stored: StoredModel, batches: Sequence[Batch], **amount: Any) -> Module:
    """Return what the transform leaves, with another amount where one is given."""
    options = config.transform.options.model_copy(update=amount)
    pruning = config.transform.plugin.build(options)
    sparse: Module = pruning(stored.module, signature=stored.signature, batches=batches)
    return sparse.eval()


def _by_latency(config: Prune, stored: StoredModel, batches: Sequence[Batch], run: Run) -> Found:
    """Return the model that is as fast as wanted, found on the target itself."""
    wanted = _latency(config)
    assert wanted is not None
    target = Target.model_validate(run.targets[wanted.target])

    def remove(ratio: float) -> Module:
        if ratio == 0:
            return stored.module
        return _pruned(config, stored, batches, ratio=ratio, latency=None)

    count = settle(target.bench, Bench(mode=wanted.mode)).samples
    drawn = take(run.task, "validation", SAMPLES)
    columns = {name: torch.cat([batch[name] for batch in drawn]) for name in drawn[0]}
    inputs = run.unfinished / "samples"
    shutil.rmtree(inputs, ignore_errors=True)
    write_samples(run.task, count, [stored.signature], inputs)
    search = Search(
        wanted,
        target,
        remove=remove,
        most=config.transform.options.max_ratio,  # type: ignore[attr-defined]
        signature=stored.signature,
        samples=at_rest(stored.signature, columns),
        inputs=inputs,
        work=run.unfinished,
        tell=run.progress,
        warn=run.notice,
    )
    found = search.search()
    if found.ratio and not close(found, wanted):
        run.notice(
            f"{found.p50} is the nearest below {wanted.p50_ms:g} ms that widths in such steps "
            "give; scope: global and a lower round_to give finer ones."
        )
    return found


def _timed(config: Prune, found: Found, says: str) -> Facts:
    """Return what the search came to."""
    wanted = _latency(config)
    assert wanted is not None
    where = f"{wanted.runtime.kind} on {wanted.target}"
    return {
        "says": f"{says}; {found.p50.value:.3g} of {found.dense.value:.3g} ms with {where}",
        "budget_ms": wanted.p50_ms,
        "latency_p50_ms": found.p50,
        "latency_p50_ms_before": found.dense,
        "ratio": found.ratio,
        "candidates": found.candidates,
    }
