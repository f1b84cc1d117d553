"""The operators of a graph that have weights: which are rounded, which are not, and why."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from edgekd.convert.graph import graphs, inside

WEIGHTED = {
    "Conv": (1,),
    "ConvTranspose": (1,),
    "Gemm": (1,),
    "MatMul": (0, 1),
    "LSTM": (1,),
    "GRU": (1,),
    "RNN": (1,),
    "Gather": (0,),
}
"""Which inputs are weights where they are constant, by operator."""
ROUNDED = {
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "DynamicQuantizeMatMul",
    "DynamicQuantizeLSTM",
    "MatMulInteger",
    "MatMulIntegerToFloat",
    "ConvInteger",
    "MatMulNBits",
    "QAttention",
    "QGemm",
}
"""Operators of graphs that are quantized, with all whose name begins with `QLinear`."""
IN_PLACE = {"MatMulInteger": "MatMul", "ConvInteger": "Conv", "MatMulNBits": "MatMul"}
"""What an operator on integers does."""
TABLE = "_quantized"
"""End of the name that ONNX Runtime's quantizer gives to a table in integers."""
FEWEST_WEIGHTS = 64
"""Tables of fewer numbers, such as the axes of a Gather, are no weights."""


@dataclass(frozen=True)
class Layer:
    """An operator with constant weights in floating point."""

    name: str
    operator: str
    weights: int
    precision: str
    """Of its weights, as `float32`."""
    within: str
    """The node whose subgraph it is in, as `If 'then'`; empty where it is in none."""


def layers(model: Any) -> list[Layer]:
    """Return the operators whose weights are floats."""
    return [*_layers(model.graph, "", {})]


def _layers(graph: Any, within: str, outer: Mapping[str, Any]) -> Iterator[Layer]:
    """Yield those of a graph and the graphs inside it, which see the constants outside them."""
    constants = {**outer, **{tensor.name: tensor for tensor in graph.initializer}}
    for node in graph.node:
        held = next((constants[name] for name in _weights(node) if name in constants), None)
        kind = _kind(held)
        if held is not None and kind and prod(held.dims) >= FEWEST_WEIGHTS:
            yield Layer(node.name, node.op_type, prod(held.dims), kind, within)
        for inner in inside(node):
            yield from _layers(inner, within or f"{node.op_type} '{node.name}'", constants)


def _kind(tensor: Any) -> str:
    """Return the type of a tensor of floats as NumPy calls it; empty for other types."""
    from onnx import TensorProto

    if tensor is None:
        return ""
    floats = {
        TensorProto.FLOAT: "float32",
        TensorProto.FLOAT16: "float16",
        TensorProto.BFLOAT16: "bfloat16",
        TensorProto.DOUBLE: "float64",
    }
    return floats.get(tensor.data_type, "")


def rounded_already(model: Any) -> list[str]:
    """Return the operators that show that somebody quantized the graph, as `Conv 'name'`."""
    return [
        f"{node.op_type} '{node.name}'"
        for graph, _ in graphs(model.graph)
        for node in graph.node
        if node.op_type in ROUNDED or node.op_type.startswith("QLinear")
    ]


def quantized(model: Any) -> dict[str, int]:
    """Return how many operators work with rounded weights, by type: `{"Conv": 12}`."""
    return dict(sorted(Counter(_quantized(model.graph, set())).items()))


def _quantized(graph: Any, outer: set[str]) -> Iterator[str]:
    constants = outer | {tensor.name for tensor in graph.initializer}
    widened = {
        node.output[0]
        for node in graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in constants
    }
    tables = {name for name in constants if name.endswith(TABLE)}
    for node in graph.node:
        if node.op_type in IN_PLACE:
            yield IN_PLACE[node.op_type]
        elif node.op_type in WEIGHTED and {*_weights(node)} & (widened | tables):
            yield node.op_type
        for inner in inside(node):
            yield from _quantized(inner, constants)


def _weights(node: Any) -> list[str]:
    """Return the names of what may be a node's weights."""
    return [node.input[i] for i in WEIGHTED.get(node.op_type, ()) if i < len(node.input)]


def left(model: Any, excluded: Sequence[str], kind: str) -> list[tuple[Layer, str]]:
    """Return the layers that are still in floating point, each with the reason."""
    taken = quantized(model)
    return [(layer, _reason(layer, excluded, kind, taken)) for layer in layers(model)]


def _reason(layer: Layer, excluded: Sequence[str], kind: str, taken: Mapping[str, int]) -> str:
    if layer.name in excluded:
        return "excluded"
    if layer.precision != "float32":
        return f"its weights are {layer.precision}"
    if layer.within:
        return f"inside {layer.within}"
    if layer.operator not in taken:
        return f"{kind} takes no {layer.operator}"
    return "the quantizer did not take it"
