"""Which layers of a simulated int8 graph round: ranges are taken once, layers switched at will.

PT2E's conversion leaves a pair of quantize and dequantize on every value that its quantizer
annotated. A pair belongs to the layers on whose behalf it stands: the one that made the value and
those that take it. Where none of them rounds the pair is passed over, as if the quantizer had
left them out from the start.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import fx

ANNOTATION = "quantization_annotation"
QUANTIZE, DEQUANTIZE = "quantize_per", "dequantize_per"


@dataclass(frozen=True)
class _Edge:
    """A value on its way into an operator, rounded for its owners."""

    value: fx.Node
    rounded: fx.Node
    into: fx.Node
    owners: tuple[str, ...]


def rounded_layers(simulated: fx.GraphModule) -> list[str]:
    """Return the paths of the modules whose weights are rounded, in the order that they compute."""
    found = (_module(node) for node in simulated.graph.nodes if _has_rounded_weight(node))
    return list(dict.fromkeys(path for path in found if path))


def with_rounding(simulated: fx.GraphModule, rounds: Callable[[str], bool]) -> fx.GraphModule:
    """Return the graph in which only operators of modules that `rounds` accepts are rounded.

    It asks for each operator's own module, by path; weights and ranges are shared with
    `simulated`, which must have its weights unfolded (`convert_pt2e(..., fold_quantize=False)`).
    Two values that share a range keep sharing it: an export that leaves a layer out from the
    start may give the other one a range of its own.
    """
    graph, copies = fx.Graph(), dict[fx.Node, fx.Node]()
    given = graph.graph_copy(simulated.graph, copies)
    copies[simulated.graph.output_node()] = graph.output(given)
    graph.set_codegen(simulated.graph._codegen)
    for edge in _edges(simulated.graph):
        if not any(rounds(owner) for owner in edge.owners):
            copies[edge.into].replace_input_with(copies[edge.rounded], copies[edge.value])
    rewired = fx.GraphModule(simulated, graph)
    rewired.graph.eliminate_dead_code()
    rewired.recompile()
    return rewired


def _edges(graph: fx.Graph) -> Iterator[_Edge]:
    for node in graph.nodes:
        value = _unrounded(node)
        if value is None:
            continue
        for user in node.users:
            yield _Edge(value, node, user, tuple(_owners(value, user)))


def _unrounded(node: object) -> fx.Node | None:
    """Return the value that a dequantize gives back rounded; None where it is none."""
    if not (isinstance(node, fx.Node) and DEQUANTIZE in str(node.target)):
        return None
    quantized = node.args[0]
    if not (isinstance(quantized, fx.Node) and QUANTIZE in str(quantized.target)):
        return None
    value = quantized.args[0]
    return value if isinstance(value, fx.Node) else None


def _owners(value: fx.Node, user: fx.Node) -> Iterator[str]:
    """Yield the modules on whose behalf a value is rounded before an operator takes it."""
    made, taken = value.meta.get(ANNOTATION), user.meta.get(ANNOTATION)
    if made is not None and made.output_qspec is not None:
        yield _owner(value)
    if taken is not None and taken.input_qspec_map:
        yield _owner(user)


def _owner(node: fx.Node) -> str:
    """Return the module that an annotation is about.

    An operator that ends a fused pattern, or that only carries a rounded value on, belongs to
    what its value comes from: with that left out it would not have been annotated.
    """
    given = node.args[0] if node.args else None
    source = _unrounded(given) or given
    if isinstance(source, fx.Node) and ANNOTATION in source.meta and _follows(node):
        return _owner(source)
    return _module(node)


def _follows(node: fx.Node) -> bool:
    """Tell whether an operator was annotated for its source's sake.

    It ends a pattern, with nothing to say of inputs, or XNNPACK's quantizer propagated to it: then
    its input and its output share the range of the source, a node. (A pooling that was annotated
    for itself shares that of its own input edge.)
    """
    annotation = node.meta[ANNOTATION]
    specs = [*annotation.input_qspec_map.values()]
    if specs:
        specs.append(annotation.output_qspec)
    return all(isinstance(getattr(spec, "edge_or_node", None), fx.Node) for spec in specs)


def _has_rounded_weight(node: fx.Node) -> bool:
    sources = (_unrounded(given) for given in node.all_input_nodes)
    return any(source is not None and source.op == "get_attr" for source in sources)


def _module(node: fx.Node) -> str:
    """Return the path of the innermost module that an operator comes from."""
    stack = [path for path, _ in node.meta.get("nn_module_stack", {}).values()]
    return str(stack[-1]) if stack else ""
