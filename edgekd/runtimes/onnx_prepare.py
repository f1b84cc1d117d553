"""What ONNX Runtime's quantizers want of an exported graph before they start."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekd.core.errors import Problem, RequestError
from edgekd.runtimes.onnx_graph import nodes_of_modules

PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def excluded_nodes(model: Any, paths: Sequence[str]) -> list[str]:
    """Return the names of the nodes of the modules; RequestError where one has no node.

    A product that a quantizer takes apart bears the name of what it was made of and an ending.
    """
    try:
        found = nodes_of_modules(model, paths)
    except LookupError as error:
        raise RequestError(
            Problem(
                "exclude",
                f"no operator of the exported program comes from a module '{error}'.",
                "Name a module as named_modules() spells it, one that computes something.",
            )
        ) from error
    return [*found, *(f"{name}_MatMul" for name in found)]


def prepared(model: Any, folder: Path) -> Path:
    """Return the file of the model with the constants folded and the shapes known.

    A product keeps its name where it is put together with what comes before or after it. The
    shapes that the exporter wrote make the quantizer's own inference fail: they go first.
    """
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    plain, ready = folder / "plain.onnx", folder / "prepared.onnx"
    del model.graph.value_info[:]
    onnx.save(model, plain)
    quant_pre_process(plain, ready, skip_symbolic_shape=True)
    whole = onnx.load(ready)
    named, flattened = _name_products(whole.graph, model.graph), _flatten_biases(whole.graph)
    if named or flattened:
        onnx.save(whole, ready)
    return ready


def _name_products(graph: Any, before: Any) -> bool:
    """Give products that ONNX Runtime put together the names of those that they were made of.

    It names them as it likes; a node that is gone and gave what leads to a new one is part of it.
    """
    there = {node.name for node in graph.node}
    gone = {value: node for node in before.node if node.name not in there for value in node.output}
    known = {node.name for node in before.node}
    changed = False
    for node in graph.node:
        product = _product_within(node, gone) if node.name not in known else None
        if product:
            node.name, changed = product, True
    return changed


def _product_within(node: Any, gone: Mapping[str, Any]) -> str:
    """Return the name of the product that a node was made of; empty where there is none."""
    waiting, ends = [*node.output], {*node.input}
    while waiting:
        part = gone.get(waiting.pop())
        if part is None:
            continue
        if part.op_type in PRODUCTS:
            return str(part.name)
        waiting += [value for value in part.input if value not in ends]
    return ""


def _flatten_biases(graph: Any) -> bool:
    """Make rows of biases that are matrices of one row, over which the quantizer stumbles.

    ONNX Runtime writes such a Gemm itself where it puts a product and a sum together.
    """
    from onnx import numpy_helper

    held = {tensor.name: tensor for tensor in graph.initializer}
    changed = False
    for node in graph.node:
        if node.op_type != "Gemm" or node.input[2:3] == [""]:
            continue
        for name in node.input[2:3]:
            if name in held and len(held[name].dims) == 2 and held[name].dims[0] == 1:
                row = numpy_helper.to_array(held[name]).reshape(-1)
                node.input[2] = f"{name}_of_{node.name}"
                graph.initializer.append(numpy_helper.from_array(row, node.input[2]))
                changed = True
    return changed
