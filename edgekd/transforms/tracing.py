"""Tracing a model for PyTorch's export quantization (PT2E), and naming its parts there."""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import nn

from edgekd.core.protocols.values import Batch
from edgekd.core.signature import Signature

CPU = torch.device("cpu")


def traced(
    model: nn.Module, signature: Signature, batch: Batch, device: torch.device = CPU
) -> nn.Module:
    """Return the traced model, on the CPU or on a device; dimensions with a name may vary."""
    names = {name for port in signature.inputs for name in port.shape if isinstance(name, str)}
    most = dict(signature.most)
    dims = {name: torch.export.Dim(name, min=1, max=most.get(name)) for name in sorted(names)}
    shapes = tuple(
        {axis: dims[name] for axis, name in enumerate(port.shape) if name in dims}
        for port in signature.inputs
    )
    inputs = tuple(_at_least_two(batch[port.name].to(device)) for port in signature.inputs)
    copied = copy.deepcopy(model).to(device).eval()
    return torch.export.export(copied, inputs, dynamic_shapes=shapes).module()


def _at_least_two(tensor: torch.Tensor) -> torch.Tensor:
    """Return the tensor with two rows or more: tracing one row would fix the batch at one."""
    return tensor if tensor.ndim == 0 or len(tensor) > 1 else tensor.repeat_interleave(2, 0)


def outside(paths: Sequence[str]) -> Callable[[torch.fx.Node], bool]:
    """Return a test for graph nodes that come from none of the modules."""

    def is_outside(node: torch.fx.Node) -> bool:
        stack = node.meta.get("nn_module_stack", {}).values()
        return not any(module in paths for module, _ in stack)

    return is_outside
