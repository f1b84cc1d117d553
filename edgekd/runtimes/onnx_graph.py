"""Making an exported ONNX graph ours: readable node names, our metadata, the same bytes twice."""

import ast
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import count
from pathlib import Path
from typing import Any

from edgekd.core.signature import Signature

SCOPES = "pkg.torch.onnx.name_scopes"
LARGEST_FILE = 2**31 - 1
"""A protobuf message may not be larger; beyond it weights lie beside the program."""


def name_ports(model: Any, signature: Signature) -> None:
    """Give the inputs and outputs the signature's names, whatever is called so inside.

    The exporter names inner values after operators, and an output called `embedding` would meet
    the operator of that name.
    """
    graph = model.graph
    del graph.value_info[:]
    ports = zip((*graph.input, *graph.output), (*signature.inputs, *signature.outputs), strict=True)
    names = {value.name: port.name for value, port in ports}
    taken = {tensor.name for tensor in graph.initializer} | set(names)
    taken |= {value for node in graph.node for value in node.output}
    for name in sorted(set(names.values()) & (taken - set(names))):
        names[name] = next(n for i in count() if (n := f"{name}_inner{i}") not in taken)
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = names.get(value.name, value.name)
    _rename_values(graph, names)


def _rename_values(graph: Any, names: Mapping[str, str]) -> None:
    for node in graph.node:
        node.input[:] = [names.get(value, value) for value in node.input]
        node.output[:] = [names.get(value, value) for value in node.output]
        for inner in _graphs_in(node):
            _rename_values(inner, names)


def _graphs_in(node: Any) -> Iterator[Any]:
    """Yield the graphs that an operator holds."""
    for attribute in node.attribute:
        yield from attribute.graphs
        if attribute.HasField("g"):
            yield attribute.g


def name_nodes_by_module(model: Any) -> None:
    """Call every node `module.path/Op`, so that profiles and exclusions speak of modules.

    Where the exporter folded several modules into one node, as a batch norm into its
    convolution, the one whose weight is left names it.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    seen: Counter[str] = Counter()
    for node in model.graph.node:
        name = f"{_module_of(node, weights)}/{node.op_type}"
        seen[name] += 1
        node.name = name if seen[name] == 1 else f"{name}_{seen[name]}"


def _module_of(node: Any, weights: set[str]) -> str:
    for tensor in node.input:
        if tensor in weights and "." in tensor:
            return str(tensor).rpartition(".")[0]
    for prop in node.metadata_props:
        if prop.key == SCOPES:
            scopes = ast.literal_eval(prop.value)
            return str(scopes[-2]) if len(scopes) > 1 else ""
    return ""


def nodes_of_modules(model: Any, paths: Sequence[str]) -> list[str]:
    """Return the names of the nodes inside the modules; LookupError names a path without any.

    Of a graph that others made, names and patterns such as `/head/*` are known too.
    """
    found: list[str] = []
    for path in paths:
        inside = [n.name for n in model.graph.node if is_named(n.name, path)]
        if not inside:
            raise LookupError(path)
        found += inside
    return found


def parameters_of(model: Any) -> dict[str, Any]:
    """Return the constant tensors of a graph as arrays, by name."""
    from onnx import numpy_helper

    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def drop_unused(graph: Any) -> None:
    """Drop the constants that no operator reads."""
    used = set(_read(graph))
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _read(graph: Any) -> Iterator[str]:
    """Yield the values that operators read, those in branches and loops too."""
    for node in graph.node:
        yield from node.input
        for inner in _graphs_in(node):
            yield from _read(inner)


def is_named(node: str, path: str) -> bool:
    """Tell whether a node is inside the module `path`, or its name is one that `path` stands for.

    A node called as `path` says is meant, whatever characters of patterns are in it.
    """
    return is_inside(node.partition("/")[0], path) or node == path or fnmatchcase(node, path)


def is_inside(module: str, path: str) -> bool:
    """Tell whether a dotted module path is `path` or below it."""
    return module == path or module.startswith(f"{path}.")


def strip(model: Any) -> None:
    """Drop what the exporter noted about its own work: stack traces, shapes in between.

    They hold paths of this machine, so that two machines would give different bytes, and can be
    larger than the weights.
    """
    graph = model.graph
    del graph.value_info[:]
    for holder in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del holder.metadata_props[:]
        holder.doc_string = ""


def write(model: Any, out: Path, metadata: Mapping[str, str]) -> None:
    """Check the model and write it with its metadata; ValueError where it is not valid ONNX."""
    import onnx

    onnx.helper.set_model_props(model, dict(sorted(metadata.items())))
    try:
        onnx.checker.check_model(model, full_check=model.ByteSize() < LARGEST_FILE)
    except onnx.checker.ValidationError as error:
        raise ValueError(str(error)) from error
    if model.ByteSize() < LARGEST_FILE:
        out.write_bytes(model.SerializeToString(deterministic=True))
    else:
        onnx.save(model, out, save_as_external_data=True, location=f"{out.name}.data")
