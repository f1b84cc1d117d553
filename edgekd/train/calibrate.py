"""What a model sets by itself once it is trained, on the validation split and nothing else."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from edgekd.core.protocols.task import Task
from edgekd.core.refs import UseModel
from edgekd.train.evaluate import BATCH


def calibrated(
    module: nn.Module, use: UseModel, task: Task, device: torch.device
) -> Mapping[str, Any]:
    """Let a model that registers `calibrate(options, module, signature, batches)` do so.

    Return its facts.
    """
    calibrate = use.plugin.traits.get("calibrate")
    if calibrate is None:
        return {}
    with torch.no_grad():
        batches = task.batches("validation", BATCH, device=device)
        facts: Mapping[str, Any] = calibrate(use.options, module.eval(), task.signature(), batches)
    return facts
