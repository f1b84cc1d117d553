"""Keep what a teacher says of the training examples, for all who learn from it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.core.config import Config, PositiveCount
from edgekd.core.errors import Problem
from edgekd.core.kinds import stage
from edgekd.core.needs import Needs
from edgekd.core.protocols.stage import Preview, Run
from edgekd.core.protocols.values import Facts
from edgekd.core.quantity import Quantity
from edgekd.core.refs import ModelOrProgramRef, UseAugment, as_written
from edgekd.core.rehearsal import Rehearsal
from edgekd.core.seeds import sub_seed
from edgekd.core.signature import Signature
from edgekd.models.folder import load_model
from edgekd.ops.top_k import TopK, expand, expansion_error, top_k
from edgekd.parallel.group import group
from edgekd.runtimes.folder import DESCRIPTION as PROGRAM
from edgekd.train.across import misfit, preparing
from edgekd.train.check import check_full_precision, check_paths
from edgekd.train.filling import fill
from edgekd.train.keeping import class_count, row_bytes, scores_in
from edgekd.train.masked import check_masked
from edgekd.train.memory import enough_memory
from edgekd.train.needs import compression_needs, count, unbuilt
from edgekd.train.precision import Wanted
from edgekd.train.shards import ShardWriter
from edgekd.train.teaching import Description, Online, Said, Teaching
from edgekd.trial.asked import Asked, at_once

BATCH = 256
MIB = 2**20
TEMPERATURES = (1.0, 4.0)
SMALLER = "Lower the teacher's width or the size of its inputs, or run where there is more memory."


class Outputs(Config):
    """Whose outputs, of which examples, and how much of them."""

    model: ModelOrProgramRef
    """The teacher: a model, or a program that somebody else may have made (`given`)."""
    views: PositiveCount = 1
    """How many augmented views of each example."""
    augment: tuple[UseAugment, ...] = ()
    """What changes the examples first, as `train.augment` of those who learn from it."""
    taps: tuple[str, ...] = ()
    """Module paths whose outputs are kept beside the teacher's own."""
    precision: Wanted = "float32"
    """What the teacher multiplies in; auto: bfloat16 where a trial shows the same outputs."""
    shard: bool = False
    """Of several processes, let each hold a part of the teacher's weights."""
    top: PositiveCount | None = None
    """How many of the likeliest classes are kept; all where nothing is said."""


def check(config: Outputs, preview: Preview) -> Iterator[Problem]:
    """Yield what is wrong before the teacher is asked."""
    yield from check_full_precision(config.model, preview, "model")
    if config.taps and preview.makes(config.model) == "program":
        yield Problem("taps", f"{config.model} is a program, whose inside cannot be tapped.", "")
    yield from check_masked(config.augment, {"model": config.model}, preview)
    yield from check_paths(config.taps, preview.model(config.model), preview.task, "taps")
    yield from _check_inputs(config, preview)
    classes = class_count(preview.task_of(config.model))
    if config.top is not None and (classes is None or config.top >= classes):
        there = f"{classes} classes" if classes else "no scores of classes"
        step = "Leave top out: then all of it is kept."
        yield Problem("top", f"{config.top} of the classes are asked for; it has {there}.", step)
    for index, use in enumerate(config.augment):
        if not use.plugin.traits.get("each"):
            yield Problem(
                f"augment[{index}]",
                f"{use.kind} does not change every example on its own, so no view can be kept.",
                "Leave it out, or let the teacher look at every batch.",
            )


def _check_inputs(config: Outputs, preview: Preview) -> Iterator[Problem]:
    """Yield why the teacher cannot be shown the examples of this task."""
    if wrong := misfit(config.model, preview.task_of(config.model), preview.task, "model"):
        yield wrong


def estimate(config: Outputs, preview: Preview) -> Needs | None:
    """Return what a pass over the data takes, and what is kept of it."""
    teacher = unbuilt(config.model, preview)
    rows = count(preview.task, "train") * config.views
    lower = ("cache.budget_gib", "cache.views")
    needs = compression_needs(teacher, preview.task, copies=1, examples=0, lower=lower)
    if needs is None:
        return None
    told = preview.task_of(config.model).signature()
    kept = rows * row_bytes(teacher, told, config.taps, top=config.top)
    memory, disk = preview.hands.here * needs.memory_bytes, needs.disk_bytes + 2 * kept
    return Needs(memory, disk, needs.device_bytes, lower, preview.hands.here)


def rehearse(config: Outputs, _run: Run) -> Rehearsal:
    """Return that it keeps something of every example."""
    return Rehearsal(config, grows=True)


@stage(
    config=Outputs,
    makes="outputs",
    check=check,
    estimate=estimate,
    rehearse=rehearse,
    stops=True,
    shared=True,
    named=False,
    hears=("model",),
    code=("targets/runners",),
)
def outputs(config: Outputs, run: Run) -> Facts:
    """Return how much was kept, and what keeping only the likeliest classes costs."""
    device, task = torch.device(run.device), run.task
    teacher = _teacher(config, run, device)
    about = Description(
        examples=task.size("train"),
        views=config.views,
        seed=sub_seed(run.seed, "augment"),
        augment=[as_written(use) for use in config.augment],
        classes=scores_in(teacher.signature),
        top=config.top,
        outputs=[port.name for port in teacher.signature.outputs],
        taps=list(config.taps),
    )
    with enough_memory(f"asking the teacher about {BATCH} examples at once", SMALLER):
        each = row_bytes(teacher.outline, teacher.signature, config.taps, top=about.top)
        writer = ShardWriter(run.unfinished, about.rows, each, group().part)
        sample = fill(writer, about, teacher.ask, teacher.batch, run, in_step=config.shard)
    group().wait()
    if not group().first:
        return {}
    writer.gather(run.out)
    about.write(run.out)
    size = sum(file.stat().st_size for file in run.out.iterdir())
    return {**_facts(about, sample, size), "precision": teacher.precision}


@dataclass(frozen=True)
class _Teacher:
    """Whoever is asked, and how."""

    ask: Teaching
    signature: Signature
    batch: int
    """How many examples at once."""
    precision: str
    outline: nn.Module | None
    """Its modules without memory behind them; None for a program."""


def _teacher(config: Outputs, run: Run, device: torch.device) -> _Teacher:
    """Return the teacher of a folder: a model here, or a program in processes of its own."""
    folder, name = run.input(config.model), config.model.stage
    if (folder / PROGRAM).is_file():
        asked = Asked(name, folder, run.unfinished if group().first else run.out)
        ask = lambda batch, view: Said(asked(batch), {})  # noqa: ARG005, E731
        return _Teacher(ask, asked.signature, at_once(asked.signature), "as given", None)
    stored = load_model(folder)
    online = Online(
        stored.module,
        stored.signature,
        config.taps,
        run.task,
        device,
        config.precision,
        shard=config.shard,
        prepared=preparing(stored.facts, run.task),
    )
    with torch.device("meta"):
        bare = stored.use.build()(stored.signature)
    return _Teacher(online, stored.signature, BATCH, online.precision.why, bare)


def _facts(about: Description, sample: Sequence[Tensor], size: int) -> Facts:
    what = f"{about.examples:,} examples" + (f" x {about.views} views" if about.views > 1 else "")
    facts: dict[str, Any] = {"result": Quantity(size / MIB, "MiB"), "size_bytes": size}
    if about.top is None:
        return {"says": what} | facts
    assert about.classes is not None
    scores = torch.cat([*sample])
    kept = top_k(scores, about.top)
    rounded = TopK(kept.log_probs.half(), kept.indices, kept.log_sum_exp, kept.log_rest.half())
    found = expand(rounded, about.classes)
    errors = {t: expansion_error(scores, found, t) for t in TEMPERATURES}
    facts["error_nats"] = {
        f"temperature {t:g}": {"mean": e.mean().item(), "largest": e.max().item()}
        for t, e in errors.items()
    }
    mean = facts["error_nats"]["temperature 1"]["mean"]
    return {
        "says": f"{what}, {about.top} of {about.classes:,} classes, off by {mean:.2g} nats"
    } | facts
