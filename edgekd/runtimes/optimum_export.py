"""A second way to ONNX, for models of transformers: optimum's exporter, which knows their kinds.

It traces by TorchScript and mends what tracing gets wrong for a kind of network, so that it follows
some that torch.export does not. It takes the network as it is: what a wrapper does to inputs or
outputs is not in the graph, and the parity of the export stage tells.
"""

import copy
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from edgekd.core.quiet import quiet
from edgekd.core.signature import Port, Signature
from edgekd.runtimes.onnx_graph import SCOPES


class NotFollowedError(Exception):
    """Optimum cannot export the network either; the text says why."""


def network_of(model: nn.Module) -> nn.Module | None:
    """Return the network of transformers that a model holds as `network`; None where it has none.

    Where transformers was never imported no model can be of it.
    """
    transformers = sys.modules.get("transformers")
    network = getattr(model, "network", None)
    known = transformers is not None and isinstance(network, transformers.PreTrainedModel)
    return network if known else None


def export(network: nn.Module, signature: Signature, opset: int) -> Any:
    """Return the network as an ONNX graph with the signature's ports in the signature's order.

    Its inputs are those of the signature by name, or else by place; its outputs by name.
    NotFollowedError where optimum does not know the kind of network, fails, or has other ports.
    """
    import onnx

    with tempfile.TemporaryDirectory() as folder, quiet(), warnings.catch_warnings():
        # what tracing fixes that should vary shows in the parity
        warnings.simplefilter("ignore")
        file = Path(folder) / "network.onnx"
        try:
            _export(copy.deepcopy(network).cpu(), opset, file)
        except Exception as error:  # optimum, TorchScript and the network raise anything
            raise NotFollowedError(_first_line(error)) from error
        graph = onnx.load(file)
    _keep_ports(graph.graph.input, signature.inputs, by_place=True)
    _keep_ports(graph.graph.output, signature.outputs, by_place=False)
    _name_by_module(graph.graph)
    return graph


def _export(network: nn.Module, opset: int, file: Path) -> None:
    from optimum.exporters.onnx.convert import export_pytorch
    from optimum.exporters.tasks import TasksManager

    task = TasksManager.infer_task_from_model(network, library_name="transformers")
    make = TasksManager.get_exporter_config_constructor(
        "onnx", network, task=task, library_name="transformers"
    )
    export_pytorch(network, make(network.config), opset, file)


def _keep_ports(found: Any, ports: tuple[Port, ...], *, by_place: bool) -> None:
    """Put values in the signature's order, with its shapes; those that it lacks go."""
    named = {value.name: value for value in found}
    if {port.name for port in ports} <= named.keys():
        values = [named[port.name] for port in ports]
    elif by_place and len(found) == len(ports):
        values = list(found)
    else:
        wanted = ", ".join(port.name for port in ports)
        raise NotFollowedError(f"its ports are {', '.join(named)}, where the model has {wanted}")
    if by_place and len(values) < len(found):
        lacking = ", ".join(named.keys() - {port.name for port in ports})
        raise NotFollowedError(f"it asks for {lacking} too, which the model does not take")
    kept = [copy.deepcopy(value) for value in values]
    for value, port in zip(kept, ports, strict=True):
        _shape(value.type.tensor_type.shape, port)
    del found[:]
    found.extend(kept)


def _shape(shape: Any, port: Port) -> None:
    """Write a port's dimensions, fixed ones as numbers."""
    del shape.dim[:]
    for size in port.shape:
        if isinstance(size, int):
            shape.dim.add(dim_value=size)
        else:
            shape.dim.add(dim_param=size)


def _name_by_module(graph: Any) -> None:
    """Note each node's module and rename weights, both as paths from the model: `network.x.y`."""
    renamed = {t.name: f"network.{t.name}" for t in graph.initializer if "::" not in t.name}
    for tensor in graph.initializer:
        tensor.name = renamed.get(tensor.name, tensor.name)
    for node in graph.node:
        _rename(node.input, renamed)
        path = ".".join(("network", *_scopes(node.name)))
        node.metadata_props.add(key=SCOPES, value=str(["", path, node.name]))


def _rename(names: Any, renamed: Mapping[str, str]) -> None:
    names[:] = [renamed.get(name, name) for name in names]


def _scopes(name: str) -> Iterator[str]:
    """Yield the modules of a node that TorchScript called `/vit/encoder/layer.0/MatMul`."""
    if name.startswith("/"):
        yield from name.strip("/").split("/")[:-1]


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
