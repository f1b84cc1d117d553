"""Calling a module by the names of its signature."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from edgekd.core.signature import Signature


def call_by_name(
    module: nn.Module, signature: Signature, inputs: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the module's outputs by name; `inputs` may hold more than the signature asks for.

    State that is not given is at rest.
    """
    complete = at_rest(signature, inputs)
    given = module(*(complete[port.name] for port in signature.inputs))
    outputs = given if isinstance(given, tuple | list) else (given,)
    return {port.name: out for port, out in zip(signature.outputs, outputs, strict=True)}


def at_rest(signature: Signature, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the inputs with zeros for each state that is fed back and not among them.

    Its `batch` is that of the other inputs; any other named dimension has size 1.
    """
    absent = {into for _, into in signature.state} - inputs.keys()
    if not absent:
        return dict(inputs)
    beside = next(inputs[port.name] for port in signature.inputs if port.name not in absent)
    zeros = {
        port.name: torch.zeros(
            port.concrete(batch=len(beside)),
            dtype=getattr(torch, port.dtype),
            device=beside.device,
        )
        for port in signature.inputs
        if port.name in absent
    }
    return {**inputs, **zeros}
