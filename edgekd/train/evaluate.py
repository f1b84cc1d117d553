"""Scoring a model on a split by the measures of its task."""

import torch
from torch import nn

from edgekd.core.kinds import measure
from edgekd.core.protocols import Split, Task
from edgekd.core.quantity import Quantity
from edgekd.ops.named import call_by_name

BATCH = 512


@torch.inference_mode()
def evaluate(model: nn.Module, task: Task, split: Split, device: torch.device) -> Quantity:
    """Return the mean of the task's first measure, with its 95 % normal interval."""
    plugin = measure.get(task.quality[0])
    score = plugin.build(plugin.config())
    model.eval()
    values = []
    for batch in task.batches(split, BATCH, device=device):
        outputs = call_by_name(model, task.signature(), batch)
        signals = batch | {f"student_{name}": value for name, value in outputs.items()}
        values.append(score(**{need: signals[need] for need in plugin.needs}))
    scores = torch.cat(values).double()
    mean, half = scores.mean().item(), 1.96 * scores.std(correction=0).item() / len(scores) ** 0.5
    return Quantity(mean, plugin.traits["unit"], mean - half, mean + half, len(scores))
