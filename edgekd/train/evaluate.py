"""Scoring a model on a split by the measures of its task."""

import torch
from torch import nn

from edgekd.core.kinds import measure
from edgekd.core.protocols import Split, Task
from edgekd.core.quantity import Quantity
from edgekd.ops.named import call_by_name
from edgekd.ops.statistics import mean_interval, share_interval

BATCH = 512


@torch.inference_mode()
def evaluate(model: nn.Module, task: Task, split: Split, device: torch.device) -> Quantity:
    """Return the mean of the task's first measure, with its 95 % interval."""
    plugin = measure.get(task.quality[0])
    score = plugin.build(plugin.config())
    model.eval()
    values = []
    for batch in task.batches(split, BATCH, device=device):
        outputs = call_by_name(model, task.signature(), batch)
        signals = batch | {f"student_{name}": value for name, value in outputs.items()}
        values.append(score(**{need: signals[need] for need in plugin.needs}))
    scores = torch.cat(values).double()
    right = (scores == 1).sum().item()
    if right == scores.sum().item():  # answers that are right or wrong, and nothing between
        low, high = share_interval(int(right), len(scores))
    else:
        low, high = mean_interval(scores.cpu().numpy())
    return Quantity(scores.mean().item(), plugin.traits["unit"], low, high, len(scores))
