"""What a graph computes, written as ONNX Runtime computes it faster: same values, less time.

Measured on x86 (docs/choosing.md); the limits are those of its kernels there.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

import numpy as np

from edgekd.runtimes.onnx_graph import drop_unused, parameters_of

PACKED = 4
"""Input channels that the kernel of 8-bit convolutions takes at a time; fewer are copied first."""
FEWEST_OUTPUTS = 16
"""That kernel computes no fewer."""
MOST_ZEROS = 50
"""In a filter: with more, multiplying them takes longer than the copying that they save."""
KEEPING_AXES = ("Add", "Clip", "HardSigmoid", "HardSwish", "LeakyRelu", "Mul", "Relu", "Sigmoid")
PLANE = ([2, 3], [-2, -1], [-1, -2])
"""How the exporter names height and width."""


def pool_globally(model: Any) -> None:
    """Write means over the height and width of what convolutions give as GlobalAveragePool.

    It stays in the layout of the convolutions, and in 8 bits, which ReduceMean does not.
    """
    held = parameters_of(model)
    makers = {value: node for node in model.graph.node for value in node.output}
    changed = False
    for node in model.graph.node:
        if node.op_type != "ReduceMean" or len(node.input) < 2:
            continue
        keeps = all(a.i for a in node.attribute if a.name == "keepdims")
        axes = held.get(node.input[1])
        if axes is None or not keeps or axes.tolist() not in PLANE:
            continue
        if _is_convolved(node.input[0], makers, held):
            node.op_type = "GlobalAveragePool"
            del node.input[1:], node.attribute[:]
            node.name = node.name.replace("/ReduceMean", "/GlobalAveragePool")
            changed = True
    if changed:
        drop_unused(model.graph)


def _is_convolved(value: str, makers: Mapping[str, Any], held: Mapping[str, Any]) -> bool:
    """Tell whether a two-dimensional convolution gave a value, but for operators in between."""
    while value in makers:
        node = makers[value]
        if node.op_type == "Conv":
            return node.input[1] in held and held[node.input[1]].ndim == 4
        if node.op_type not in KEEPING_AXES:
            return False
        value = node.input[0]
    return False


def fill_channels(model: Any) -> None:
    """Give pictures that a uint8 convolution reads channels of zeros, up to a multiple of four.

    ONNX Runtime then takes the convolution's own kernel, and not one of matrices for which it
    copies every patch, three bytes at a time. Weights for the new channels are zeros.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for conv, rounding, weight in [*_picture_convolutions(graph)]:
        filters = numpy_helper.to_array(tensors[weight])
        missing = -filters.shape[1] % PACKED
        if len(filters) < FEWEST_OUTPUTS or not 0 < missing * prod(filters.shape[2:]) <= MOST_ZEROS:
            continue
        filled = np.pad(filters, [(0, 0), (0, missing), (0, 0), (0, 0)])
        tensors[weight].CopyFrom(numpy_helper.from_array(filled, weight))
        ends = np.array([0, 0, 0, 0, 0, missing, 0, 0], np.int64)
        value = f"{rounding.input[0]}_filled"
        graph.initializer.append(numpy_helper.from_array(ends, f"{value}_ends"))
        name = f"{conv.name.rpartition('/')[0]}/Pad"
        taken = [rounding.input[0], f"{value}_ends", rounding.input[2]]
        at = next(i for i, node in enumerate(graph.node) if node.name == rounding.name)
        graph.node.insert(at, helper.make_node("Pad", taken, [value], name=name))
        rounding.input[0] = value


def _picture_convolutions(graph: Any) -> Iterator[tuple[Any, Any, str]]:
    """Yield each convolution of an input in uint8, what reads that for it, and its weights' name.

    Only where nothing else reads the input in 8 bits, or the weights.
    """
    from onnx import TensorProto

    makers = {value: node for node in graph.node for value in node.output}
    readers = Counter(value for node in graph.node for value in node.input)
    kinds = {tensor.name: (tensor.data_type, len(tensor.dims)) for tensor in graph.initializer}
    inputs = {port.name for port in graph.input}
    for conv in graph.node:
        if conv.op_type != "Conv" or any(a.name == "group" and a.i != 1 for a in conv.attribute):
            continue
        read, weights = (_behind(value, "DequantizeLinear", makers) for value in conv.input[:2])
        rounded = _behind(read.input[0], "QuantizeLinear", makers) if read else None
        if not read or not weights or not rounded or rounded.input[0] not in inputs:
            continue
        alone = all(readers[value] == 1 for value in (*conv.input[:2], weights.input[0]))
        uint8 = kinds.get(read.input[2]) == (TensorProto.UINT8, 0)
        if alone and uint8 and kinds.get(weights.input[0]) == (TensorProto.INT8, 4):
            yield conv, read, weights.input[0]


def _behind(value: str, kind: str, makers: Mapping[str, Any]) -> Any:
    """Return the operator of a kind that gives a value; None where another one does."""
    node = makers.get(value)
    return node if node is not None and node.op_type == kind else None
