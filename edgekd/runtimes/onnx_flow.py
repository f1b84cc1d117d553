"""How many numbers go from module to module in an ONNX program."""

from collections import defaultdict
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

OUTSIDE = ""
"""Where inputs come from and outputs go, and the module of operators that bear no name of one."""

UNKNOWN = "_empty_nn_module_stack"
"""What the exporter calls the module of operators that it added."""


def flow(program: Path) -> Mapping[tuple[str, str], int]:
    """Return how many numbers each module gives to each other one, for one example.

    A dimension that is not known counts as one. Empty for files that are not .onnx.
    """
    import onnx

    if program.suffix != ".onnx":
        return {}
    graph = onnx.shape_inference.infer_shapes(onnx.load(program, load_external_data=False)).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    sizes = {value.name: _numbers(value) for value in values}
    makers = {value: _module(node) for node in graph.node for value in node.output}
    makers |= {port.name: OUTSIDE for port in graph.input}
    found: dict[tuple[str, str], int] = defaultdict(int)
    readers = [(value, _module(node)) for node in graph.node for value in node.input]
    readers += [(port.name, OUTSIDE) for port in graph.output]
    for value, reader in dict.fromkeys(readers):
        if value in makers and makers[value] != reader:
            found[makers[value], reader] += sizes.get(value, 1)
    return found


def _module(node: Any) -> str:
    path = str(node.name).rpartition("/")[0]
    return OUTSIDE if path.startswith(UNKNOWN) else path


def _numbers(value: Any) -> int:
    return prod(dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim)
