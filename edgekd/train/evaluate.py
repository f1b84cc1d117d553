"""Scoring a model on a split by the measures of its task."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from edgekd.core.kinds import measure
from edgekd.core.protocols.task import Task
from edgekd.core.protocols.values import Batch, Split
from edgekd.core.quantity import Quantity
from edgekd.core.registry import Plugin
from edgekd.core.signals import TEACHER
from edgekd.ops.named import call_by_name
from edgekd.ops.statistics import mean_interval, share_interval
from edgekd.parallel.group import group
from edgekd.train.memory import enough_memory

BATCH = 512
VALUE = "value"
"""The column of what a measure says of each example."""
NOTHING: Batch = {}
SMALLER = "Lower the model's width or the size of its inputs, or run where there is more memory."


def evaluate(
    model: nn.Module,
    task: Task,
    split: Split,
    device: torch.device,
    *,
    reference: nn.Module | None = None,
) -> Quantity:
    """Return the mean of the task's first measure, with its 95 % interval.

    Of a task without labels that compares with `reference`, in eval mode on the same device.
    StageError where memory runs out.
    """
    plugin = measure.get(task.quality[0])
    beside = reference if compares(plugin) else None
    with enough_memory(f"scoring {BATCH} examples of {split} at once", SMALLER):
        scores = _scores(plugin, model, task, split, device, beside)
    return mean_score(plugin, scores)


def compares(plugin: Plugin) -> bool:
    """Tell whether a measure compares a model with another one: alone it cannot be scored."""
    return any(need.startswith(TEACHER) for need in plugin.needs)


def mean_score(plugin: Plugin, scores: Tensor) -> Quantity:
    """Return the mean of a measure of examples, one value each, with its 95 % interval."""
    right = (scores == 1).sum().item()
    if right == scores.sum().item():  # answers that are right or wrong, and nothing between
        low, high = share_interval(int(right), len(scores))
    else:
        low, high = mean_interval(scores.cpu().numpy())
    return Quantity(scores.mean().item(), plugin.traits["unit"], low, high, len(scores))


def asked_by(plugin: Plugin, outputs: Batch, batch: Batch, expected: Batch = NOTHING) -> Batch:
    """Return the signals that a measure asks for, of a batch and what a model gave for it.

    `expected` is what the model gave that it is compared with.
    """
    signals = batch | {f"student_{name}": value for name, value in outputs.items()}
    signals |= {f"{TEACHER}{name}": value for name, value in expected.items()}
    return {need: signals[need] for need in plugin.needs}


def score_each(plugin: Plugin, parts: Sequence[Batch]) -> Tensor:
    """Return the measure of every example, from what it asks for in parts.

    One that relates examples to each other (`together`) is given all parts at once.
    """
    if plugin.traits.get("together"):
        parts = [{need: torch.cat([part[need] for part in parts]) for need in plugin.needs}]
    score = plugin.build(plugin.config())
    return torch.cat(
        [score(**{need: part[need] for need in plugin.needs}) for part in parts]
    ).double()


@torch.inference_mode()
def _scores(
    plugin: Plugin,
    model: nn.Module,
    task: Task,
    split: Split,
    device: torch.device,
    reference: nn.Module | None,
) -> Tensor:
    """Return the measure of every example of the split, in its order.

    One that relates examples to each other says `together`, and is given all of them at once.
    """
    together = plugin.traits.get("together", False)
    model.eval()
    found: dict[str, list[Tensor]] = {}
    for batch in task.batches(split, BATCH, device=device, part=group().part):
        outputs = call_by_name(model, task.signature(), batch)
        expected = call_by_name(reference, task.signature(), batch) if reference else NOTHING
        own = asked_by(plugin, outputs, batch, expected)
        kept = own if together else {VALUE: score_each(plugin, [own])}
        for name, column in ({"ids": batch["ids"]} | kept).items():
            found.setdefault(name, []).append(column)
    columns = in_order({name: group().gathered(torch.cat(parts)) for name, parts in found.items()})
    return score_each(plugin, [columns]) if together else columns[VALUE]


def in_order(columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return columns of all examples in the order of their ids; some had the same ones."""
    ids, places = torch.unique(columns["ids"], return_inverse=True)
    return {
        name: column.new_empty((len(ids), *column.shape[1:])).index_copy_(0, places, column)
        for name, column in columns.items()
    }
