"""Scoring a model on a split by the measures of its task."""

import torch
from torch import Tensor, nn

from edgekd.core.kinds import measure
from edgekd.core.protocols import Batch, Split, Task
from edgekd.core.quantity import Quantity
from edgekd.core.registry import Plugin
from edgekd.ops.named import call_by_name
from edgekd.ops.statistics import mean_interval, share_interval
from edgekd.parallel.group import group
from edgekd.train.memory import enough_memory

BATCH = 512
SMALLER = "Lower the model's width or the size of its inputs, or run where there is more memory."


def evaluate(model: nn.Module, task: Task, split: Split, device: torch.device) -> Quantity:
    """Return the mean of the task's first measure, with its 95 % interval.

    StageError where memory runs out.
    """
    plugin = measure.get(task.quality[0])
    with enough_memory(f"scoring {BATCH} examples of {split} at once", SMALLER):
        scores = _scores(plugin, model, task, split, device)
    return mean_score(plugin, scores)


def mean_score(plugin: Plugin, scores: Tensor) -> Quantity:
    """Return the mean of a measure of examples, one value each, with its 95 % interval."""
    right = (scores == 1).sum().item()
    if right == scores.sum().item():  # answers that are right or wrong, and nothing between
        low, high = share_interval(int(right), len(scores))
    else:
        low, high = mean_interval(scores.cpu().numpy())
    return Quantity(scores.mean().item(), plugin.traits["unit"], low, high, len(scores))


def score_each(plugin: Plugin, outputs: Batch, batch: Batch) -> Tensor:
    """Return the measure of every example of a batch, from what a model gave for it."""
    signals = batch | {f"student_{name}": value for name, value in outputs.items()}
    score = plugin.build(plugin.config())
    scores: Tensor = score(**{need: signals[need] for need in plugin.needs}).double()
    return scores


@torch.inference_mode()
def _scores(
    plugin: Plugin, model: nn.Module, task: Task, split: Split, device: torch.device
) -> Tensor:
    """Return the measure of every example of the split, in its order."""
    model.eval()
    values, ids = [], []
    for batch in task.batches(split, BATCH, device=device, part=group().part):
        outputs = call_by_name(model, task.signature(), batch)
        values.append(score_each(plugin, outputs, batch))
        ids.append(batch["ids"])
    scores = group().gathered(torch.cat(values))
    examples, places = torch.unique(group().gathered(torch.cat(ids)), return_inverse=True)
    return scores.new_empty(len(examples)).scatter_(0, places, scores)  # some had the same ones
