"""What a model costs before anything is measured: its parameters and its arithmetic."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from edgekd.core.signature import Signature
from edgekd.ops.named import call_by_name


@dataclass(frozen=True)
class Cost:
    """Size and work of a model."""

    parameters: int
    macs: int
    """Multiply-accumulate operations of matrix products and convolutions, for one example."""


def cost(model: nn.Module, signature: Signature, batch: Mapping[str, Tensor]) -> Cost:
    """Return what the model costs for one example, taken from the batch."""
    one = {port.name: batch[port.name][:1] for port in signature.inputs}
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        call_by_name(model, signature, one)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Cost(parameters, counter.get_total_flops() // 2)
