"""Calling a module by the names of its signature."""

from collections.abc import Mapping

from torch import Tensor, nn

from edgekd.core.signature import Signature


def call_by_name(
    module: nn.Module, signature: Signature, inputs: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the module's outputs by name; `inputs` may hold more than the signature asks for."""
    given = module(*(inputs[port.name] for port in signature.inputs))
    outputs = given if isinstance(given, tuple | list) else (given,)
    return {port.name: out for port, out in zip(signature.outputs, outputs, strict=True)}
