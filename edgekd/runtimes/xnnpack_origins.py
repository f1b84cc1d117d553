"""Which node of the PyTorch graph a value inside an ExecuTorch program belongs to.

Operators keep the path of their module through quantizing and lowering. Within one module, those
of the same kind keep their order, which their names count.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import fx

from edgekd.runtimes.xnnpack_taps import Tap

Key = tuple[str, str]
"""Path of a module and name of an operator in it."""
MOVING = (
    "alloc",
    "quantize",
    "getitem",
    "view_copy",
    "executorch_call_delegate",
    "dim_order",
    "sym_size",
)
"""Calls that compute nothing of the model's."""
NORM = "native_batch_norm"
ACTIVATIONS = ("relu", "hardtanh", "clamp", "relu6")


def decomposed(exported: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """Return the model in the operators that lowering to XNNPACK starts from."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir.tracer import _default_decomposition_table

    plain: torch.export.ExportedProgram = exported.run_decompositions({})
    table = _default_decomposition_table()
    for kept in XnnpackPartitioner().ops_to_not_decompose(plain)[0]:
        table.pop(kept, None)
    found: torch.export.ExportedProgram = plain.run_decompositions(table)
    return found


def nodes_of(
    taps: Sequence[Tap],
    kernels: Sequence[str],
    lowered: Any,
    plain: torch.export.ExportedProgram,
) -> dict[str, Tap]:
    """Return the taps by the node of the plain graph whose value each is.

    Where a batch norm or an activation became part of the operator before it, that is its node.
    """
    graph = lowered.exported_program().graph_module
    origin = _origins(graph, plain)
    inside = {n.meta.get("debug_handle"): n for part in _delegates(graph) for n in _computing(part)}
    outside = _matching(list(_computing(graph)), kernels)
    found: dict[fx.Node, Tap] = {}
    for tap in taps:
        node = (outside if tap.kernel else inside).get(tap.handle)
        source = origin.get(node) if node is not None else None
        if source is not None:
            found.setdefault(source, tap)
    moved: dict[fx.Node, Tap] = {}
    for source, tap in found.items():
        moved.setdefault(_value(source, tap, found.keys()), tap)
    return {node.name: moved[node] for node in plain.graph.nodes if node in moved}


def _delegates(graph: Any) -> Iterator[Any]:
    """Yield the parts that XNNPACK took over, as they were before its own passes."""
    for node in graph.graph.nodes:
        held = getattr(graph, str(node.target), None) if node.op == "get_attr" else None
        original = getattr(held, "original_module", None)
        if original is not None:
            yield original.graph_module


def _computing(graph: Any) -> Iterator[fx.Node]:
    for node in graph.graph.nodes:
        if node.op == "call_function" and not any(word in _name(node) for word in MOVING):
            yield node


def _name(node: fx.Node) -> str:
    """Return a call's operator, as `convolution`, whatever dialect it is of."""
    name = getattr(node.target, "name", None)
    text = str(name()) if callable(name) else getattr(node.target, "__name__", str(node.target))
    return text.rpartition("::")[2].partition(".")[0]


def _path(node: fx.Node) -> str:
    stack = [each for each in (node.meta.get("nn_module_stack") or {}).values() if each]
    return str(stack[-1][0]) if stack else ""


def _origins(graph: Any, plain: torch.export.ExportedProgram) -> dict[fx.Node, fx.Node]:
    """Return the plain graph's node by that of the lowered one, module by module."""
    theirs: dict[Key, list[fx.Node]] = defaultdict(list)
    for part in (graph, *_delegates(graph)):
        for node in _computing(part):
            theirs[_path(node), _name(node)].append(node)
    ours: dict[Key, list[fx.Node]] = defaultdict(list)
    for node in _computing(plain.graph_module):
        ours[_path(node), _name(node)].append(node)
    return {
        one: other
        for key, nodes in theirs.items()
        if len(nodes) == len(ours[key])  # else none of them is certain
        for one, other in zip(sorted(nodes, key=_counted), ours[key], strict=True)
    }


def _counted(node: fx.Node) -> int:
    """Return the number in the name that the operator had before lowering put it elsewhere."""
    sources = node.meta.get("from_node") or []
    name = sources[0].name if sources else node.name
    number = name.rpartition("_")[2]
    return int(number) if number.isdigit() else 0


def _matching(nodes: Sequence[fx.Node], kernels: Sequence[str]) -> dict[int, fx.Node]:
    """Return the nodes by number of the kernel that computes each, where order and names agree."""
    known = [(n, name.rpartition("::")[2]) for n, name in enumerate(kernels)]
    computing = [(n, name) for n, name in known if not any(word in name for word in MOVING)]
    if [name for _, name in computing] != [_name(node) for node in nodes]:
        return {}
    return {number: node for (number, _), node in zip(computing, nodes, strict=True)}


def _value(node: fx.Node, tap: Tap, tapped: Any) -> fx.Node:
    """Return the last node that is in a tapped value, from the operator's own on."""
    norm = _only_user(node, (NORM,))
    if norm is not None and norm not in tapped:
        node = norm
    if isinstance(node.meta.get("val"), tuple | list):  # the first of several results is meant
        node = next((user for user in node.users if user.args[1] == 0), node)
    activation = _only_user(node, ACTIVATIONS) if tap.clamped else None
    return activation if activation is not None and activation not in tapped else node


def _only_user(node: fx.Node, kinds: Sequence[str]) -> fx.Node | None:
    users = list(node.users)
    fits = len(users) == 1 and any(kind in _name(users[0]) for kind in kinds)
    return users[0] if fits else None
