"""What `torch.export` needs to be told: example inputs and the dimensions that may vary."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from edgekd.core.errors import StageError
from edgekd.core.protocols.values import Batch
from edgekd.core.signature import Port, Signature


class CannotExportError(StageError):
    """The exporter does not follow the model; the cause is what it raised."""


def example_inputs(signature: Signature, samples: Batch, batch: int) -> tuple[Tensor, ...]:
    """Return `batch` rows of the samples by position; rows repeat where there are too few.

    Tracing with one row would fix the batch at one, hence two where it may vary.
    """
    return tuple(_rows(samples[port.name], port, batch) for port in signature.inputs)


def _rows(tensor: Tensor, port: Port, batch: int) -> Tensor:
    if not port.shape or port.shape[0] != "batch":
        return tensor
    index = torch.arange(batch) % tensor.shape[0]
    # a plain contiguous() would keep the strides of a channels-last image with one channel, and
    # the program would then ask for inputs in that layout
    return tensor.cpu()[index].clone(memory_format=torch.contiguous_format)


def varying(
    signature: Signature, bounds: Mapping[str, int | None]
) -> tuple[dict[int, torch.export.Dim], ...]:
    """Return the varying dimensions of each input by axis: those that `bounds` names.

    `bounds` gives the largest size of each, None where there is no limit. All other dimensions
    keep the size that they are traced with.
    """
    dims = {name: torch.export.Dim(name, min=1, max=most) for name, most in bounds.items()}
    return tuple(
        {axis: dims[name] for axis, name in enumerate(port.shape) if name in dims}
        for port in signature.inputs
    )


def named_dimensions(signature: Signature) -> dict[str, int | None]:
    """Return the largest size of every named dimension of the inputs, None where it has none."""
    names = {d for port in signature.inputs for d in port.shape if isinstance(d, str)}
    return {name: dict(signature.most).get(name) for name in sorted(names)}


def varying_rows(inputs: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """Return what `torch.export` is told of a module's inputs where examples may be any number.

    Each tensor with as many entries in its first dimension as there are examples varies there.
    """
    dim = torch.export.Dim("batch", min=1)

    def vary(value: Any) -> Any:
        return {0: dim} if isinstance(value, Tensor) and value.shape[:1] == (rows,) else None

    varied: dict[str, Any] = torch.utils._pytree.tree_map(vary, dict(inputs))
    return varied
