"""A graph that somebody else made, put into the form that ONNX Runtime's quantizers expect.

What it computes stays the same; inputs and outputs keep their names.
"""

from collections.abc import Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import count
from typing import Any

VALUES = ("value", "value_float", "value_floats", "value_int", "value_ints")
"""Attributes of Constant that hold numbers; texts and sparse tensors stay where they are."""
FIRST_WITHOUT_INPUTS = 4
"""IR version from which a constant tensor need not be an input too."""


def make_ready(model: Any) -> Any:
    """Return the model with no functions, weights as initializers, and a name for every node."""
    from onnx import inliner

    if model.functions:
        model = inliner.inline_local_functions(model)
    for graph, _ in graphs(model.graph):
        _lift_constants(graph)
    _drop_defaults(model)
    _name_nodes(model)
    return model


def graphs(graph: Any, within: str = "") -> Iterator[tuple[Any, str]]:
    """Yield a graph and those inside it, each with the node that holds it, as `If 'then'`."""
    yield graph, within
    for node in graph.node:
        for inner in inside(node):
            yield from graphs(inner, within or f"{node.op_type} '{node.name}'")


def inside(node: Any) -> Iterator[Any]:
    """Yield the graphs that a node holds, such as the branches of an If."""
    for attribute in node.attribute:
        yield from (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else []))


def opset_of(model: Any) -> int:
    """Return the version of ONNX's own operators; 0 where the model uses none of them."""
    own = (int(o.version) for o in model.opset_import if o.domain in ("", "ai.onnx"))
    return next(own, 0)


def sort_nodes(graph: Any) -> None:
    """Put every node behind those whose values it reads, also inside graphs of its own.

    ONNX Runtime's quantizers look at a node's own inputs alone when they sort.
    """
    nodes = list(graph.node)
    maker = {value: place for place, node in enumerate(nodes) for value in node.output if value}
    needs = [{maker[value] for value in _reads(node) & maker.keys()} for node in nodes]
    try:
        order = [*TopologicalSorter(dict(enumerate(needs))).static_order()]
    except CycleError:
        return  # no order at all: the checker tells
    _replace(graph.node, [nodes[place] for place in order])


def _reads(node: Any) -> set[str]:
    """Return the values that a node and the graphs inside it read, wherever they are made."""
    inner = {value for graph in inside(node) for each in graph.node for value in _reads(each)}
    outputs = {value.name for graph in inside(node) for value in graph.output}
    return {*node.input} | inner | outputs


def own_names(model: Any) -> tuple[list[str], list[str]]:
    """Return the names of inputs and outputs in their order; constants are no inputs."""
    constant = {tensor.name for tensor in model.graph.initializer}
    inputs = [value.name for value in model.graph.input if value.name not in constant]
    return inputs, [value.name for value in model.graph.output]


def _lift_constants(graph: Any) -> None:
    """Make initializers of Constant nodes; what the graph gives as an output stays a node."""
    given = {value.name for value in graph.output}
    kept = []
    for node in graph.node:
        held = _constant(node)
        if held is None or node.output[0] in given:
            kept.append(node)
        else:
            held.name = node.output[0]
            graph.initializer.append(held)
    if len(kept) < len(graph.node):
        _replace(graph.node, kept)


def _replace(holder: Any, kept: Sequence[Any]) -> None:
    """Have a field of messages hold some of its own, in an order."""
    copies = [type(message).FromString(message.SerializeToString()) for message in kept]
    del holder[:]
    holder.extend(copies)


def _constant(node: Any) -> Any:
    """Return the tensor that a Constant node gives; None for other nodes."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    if node.op_type != "Constant" or node.domain not in ("", "ai.onnx"):
        return None
    (attribute,) = node.attribute
    if attribute.name not in VALUES:
        return None
    held = helper.get_attribute_value(attribute)
    if isinstance(held, TensorProto):
        return TensorProto.FromString(held.SerializeToString())
    kind = np.float32 if "float" in attribute.name else np.int64
    return numpy_helper.from_array(np.array(held, kind))


def _drop_defaults(model: Any) -> None:
    """Take constants off the inputs: as a default that a caller may replace, none is folded."""
    inputs, _ = own_names(model)
    kept = [value for value in model.graph.input if value.name in inputs]
    if len(kept) < len(model.graph.input):
        _replace(model.graph.input, kept)
    model.ir_version = max(model.ir_version, FIRST_WITHOUT_INPUTS)


def _name_nodes(model: Any) -> None:
    """Name nodes without a name after what they give; of equal names all but the first change."""
    taken: set[str] = set()
    for graph, _ in graphs(model.graph):
        for node in graph.node:
            name = node.name or f"{next(iter(node.output), '')}/{node.op_type}"
            if name in taken:
                name = next(n for i in count(2) if (n := f"{name}_{i}") not in taken)
            taken.add(name)
            if node.name != name:
                node.name = name
