"""Networks that are shown some patches of a picture alone."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from edgekd.core.errors import Problem, StageError
from edgekd.core.protocols.stage import Preview
from edgekd.core.protocols.task import Task
from edgekd.core.protocols.values import Batch
from edgekd.core.refs import Ref, UseAugment, UseModel
from edgekd.core.signals import HIDDEN, VISIBLE
from edgekd.ops.draws import Draws
from edgekd.ops.transformer import PatchEmbedding, Tokens, chosen
from edgekd.train.check import hides, outline

_REMEDY = "Take a model with patches, as vit, and give it and patch_mask the same patch."


@contextmanager
def seeing(model: nn.Module, batch: Batch) -> Iterator[None]:
    """Let a model see the visible patches of a batch alone; all where the batch names none.

    What follows its `PatchEmbedding` is given their tokens and no others. StageError where it has
    none, or another number of patches.
    """
    visible = batch.get(VISIBLE)
    if visible is None:
        yield
        return
    patches = patches_in(model)
    there = visible.shape[1] + batch[HIDDEN].shape[1]
    if patches is None or patches.count != there:
        has = f"has {patches.count}" if patches else "has none"
        raise StageError(f"{there} patches are told apart, and the model {has}.", _REMEDY)

    def only(_module: nn.Module, _inputs: object, tokens: Tokens) -> Tensor:
        return chosen(tokens, visible)

    hook = patches.register_forward_hook(only)
    try:
        yield
    finally:
        hook.remove()


def check_masked(
    changes: Sequence[UseAugment], models: Mapping[str, UseModel | Ref], preview: Preview
) -> Iterator[Problem]:
    """Yield the models, by their place in the stage, that cannot be shown some patches alone."""
    hiding = [use for use in changes if hides(use)]
    for use in hiding[1:]:
        message = f"{use.kind} would hide patches anew."
        yield Problem("train.augment", message, "Leave one of them out.")
    for path, model in models.items() if hiding else ():
        if isinstance(model, Ref) and preview.makes(model) == "program":
            message = f"{model} is a program, which is always shown the whole picture."
            yield Problem(path, message, "Name the stage of its model, or leave the mask out.")
            continue
        known = preview.model(model) if isinstance(model, Ref) else model
        if known is not None and (wrong := _misfit(known, hiding[0], preview.task)):
            yield Problem(path, wrong, _REMEDY)


def patches_in(model: nn.Module) -> PatchEmbedding | None:
    """Return where a model makes tokens of patches; None where it nowhere does."""
    return next((part for part in model.modules() if isinstance(part, PatchEmbedding)), None)


def _misfit(model: UseModel, hiding: UseAugment, task: Task) -> str:
    """Return why the patches of a model are not those that are hidden; empty where they are."""
    try:
        patches = patches_in(outline(model, task))
    except Exception:  # the user's own model may raise anything; its own stage reports it
        return ""
    if patches is None:
        return f"{model.kind} has no patches to hide."
    there = _told_apart(hiding, task)
    if there != patches.count:
        return f"{hiding.kind} tells {there} patches apart, and {model.kind} has {patches.count}."
    return ""


def _told_apart(hiding: UseAugment, task: Task) -> int:
    """Return of how many patches an augmentation hides some."""
    shapes = {port.name: port.concrete(batch=1) for port in task.signature().inputs}
    ids = torch.zeros(1, dtype=torch.int64)
    given = {name: torch.zeros(shape) for name, shape in shapes.items()} | {"ids": ids}
    tried = hiding.build()(given, Draws(0, 0, ids))
    return sum(int(tried[name].shape[1]) for name in (VISIBLE, HIDDEN))
