"""Whether what a teacher says can be kept, and how much of it: told from the file alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import torch
from torch import nn

from edgekd.core.config import Config, Positive, PositiveCount
from edgekd.core.protocols.stage import Preview
from edgekd.core.protocols.task import Task
from edgekd.core.refs import Ref, UseObjective, as_written
from edgekd.core.signature import Signature
from edgekd.ops.named import call_by_name
from edgekd.ops.top_k import bytes_per_row
from edgekd.train.needs import count, unbuilt
from edgekd.train.optim import Train
from edgekd.train.pool import Pooled
from edgekd.train.taps import tapped
from edgekd.train.teaching import SCORES

FEWEST_CLASSES = 8
"""With fewer kept, what is left out would be most of what a teacher has to say."""
GIB = 2.0**30
HALF = 2


class Cache(Config):
    """Whether a teacher's outputs are kept: then it is paid once, for all who learn from it."""

    keep: Literal["auto", "always", "never"] = "auto"
    """`auto` keeps them where every epoch shows the same examples and they fit; `always` calls it
    an error where they cannot be kept; `never` has the teacher look at every batch."""
    budget_gib: Positive = 5
    """Most disk that they take. Of many classes only as many of the likeliest are kept as fit."""
    views: PositiveCount | None = None
    """How many augmented views of each example there are: epoch e shows view (e - 1) modulo this
    number. Without it every epoch shows another view, which cannot be kept."""


@dataclass(frozen=True)
class Keeping:
    """What becomes of a teacher's outputs."""

    options: Mapping[str, Any] | None
    """Of the `outputs` stage that keeps them, in the form of the file; None where none does."""
    why: str
    """Why not, as a clause; empty where they are kept."""


def keep_outputs(
    teacher: Ref,
    preview: Preview,
    *,
    taps: Sequence[str],
    objective: Sequence[UseObjective],
    train: Train,
    cache: Cache,
    shard: bool = False,
) -> Keeping:
    """Return how a teacher's outputs are kept for a training, or why they are not."""
    if isinstance(preview.task, Pooled):
        return Keeping(None, "the student learns from a pool")
    if why := _illegal(objective, train, cache):
        return Keeping(None, why)
    views = cache.views if train.augment and cache.views else 1
    options = {
        "kind": "outputs",
        "model": str(teacher),
        "views": views,
        "augment": tuple(as_written(use) for use in train.augment),
        "taps": tuple(taps),
    }
    if preview.makes(teacher) == "model":
        options |= {"precision": train.precision, "shard": shard}
    examples = count(preview.task, "train")
    if not examples:  # a source that cannot tell: all of it is kept, and the disk may say no
        return Keeping(options, "")
    told = preview.task_of(teacher).signature()
    beside = row_bytes(unbuilt(teacher, preview), told, taps, scores=False)
    classes, budget = scores_in(told), cache.budget_gib * GIB
    top, size = fitting(classes, examples * views, beside, budget)
    if size is None:
        asked = f"cache.budget_gib of {cache.budget_gib:g}"
        return Keeping(None, f"its outputs for {examples:,} examples do not fit into the {asked}")
    return Keeping(options | {"top": top}, "")


def _illegal(objective: Sequence[UseObjective], train: Train, cache: Cache) -> str:
    """Return why outputs may not be kept, whatever their size; empty where they may."""
    augment, select = train.augment, train.select
    if cache.keep == "never":
        return "cache.keep: never asks for it"
    for use in objective:
        if not use.plugin.traits.get("kept", True):
            return f"{use.kind} needs a teacher that looks at every batch"
    look = [f"{use.kind} is fitted to" for use in objective if use.plugin.fits]
    look += [f"{select.kind} chooses by"] if select else []
    if look and augment:
        return f"{look[0]} examples that nothing has changed, and none are kept"
    for change in augment:
        if not change.plugin.traits.get("each"):
            return f"{change.kind} does not change every example on its own"
    if augment and cache.views is None:
        names = " and ".join(use.kind for use in augment)
        return f"with {names} every epoch shows another view; cache: {{views: 4}} would keep four"
    return ""


def fitting(
    classes: int | None, rows: int, beside: int, budget: float
) -> tuple[int | None, int | None]:
    """Return how many classes to keep (None for all) and the bytes; no bytes where none fit."""
    room = budget / rows - beside
    if classes is None or bytes_per_row(classes, None) <= room:
        own = bytes_per_row(classes, None) if classes else 0
        fits = own <= room
        return None, (rows * (own + beside) if fits else None)
    each = bytes_per_row(classes, 1) - bytes_per_row(classes, 0)
    top = min(int((room - bytes_per_row(classes, 0)) // each), classes - 1)
    if top < min(FEWEST_CLASSES, classes - 1):
        return None, None
    return top, rows * (bytes_per_row(classes, top) + beside)


def class_count(task: Task) -> int | None:
    """Return the number of classes that a task's scores have; None where it has no scores."""
    return scores_in(task.signature())


def scores_in(signature: Signature) -> int | None:
    """Return the number of classes that a model scores; None where it gives no scores."""
    ports = {port.name: port for port in signature.outputs}
    return int(ports[SCORES].shape[-1]) if SCORES in ports else None


def class_names(task: Task) -> Sequence[str]:
    """Return the names of the classes, or their numbers where they have none."""
    numbers = range(class_count(task) or 0)
    return [*map(str, task.facts().get("labels") or numbers)]


def row_bytes(
    model: nn.Module | None,
    signature: Signature,
    taps: Sequence[str],
    *,
    top: int | None = None,
    scores: bool = True,
) -> int:
    """Return about what is kept of one example: float16; taps only where the model is known."""
    total = sum(HALF * prod(p.concrete(batch=1)) for p in signature.outputs if p.name != SCORES)
    classes = scores_in(signature)
    total += bytes_per_row(classes, top) if scores and classes else 0
    if model is None or not taps:
        return total
    inputs = {
        port.name: torch.empty(
            port.concrete(**signature.sizes(1)), dtype=getattr(torch, port.dtype), device="meta"
        )
        for port in signature.inputs
    }
    try:
        with torch.no_grad(), tapped(model.eval(), taps) as features:
            call_by_name(model, signature, inputs)
    except Exception:  # the user's own model may raise anything; its own stage's check tells
        return total
    return total + sum(HALF * feature.numel() for feature in features.values())
