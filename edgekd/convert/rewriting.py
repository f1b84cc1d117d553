"""Rewriting a program: its new form, and that its floats stayed the same.

Runs in `convert.process` alone. The quantizers are those of our own exports.
"""

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgekd.convert.asking import Wanted, Written
from edgekd.convert.graph import opset_of, own_names, sort_nodes
from edgekd.convert.layers import Layer, left, quantized
from edgekd.convert.surveying import ObjectionError, patterns_of, surveyed, transform_of
from edgekd.core.errors import StageError
from edgekd.core.protocols.values import Arrays, Batch
from edgekd.core.refs import UseTransform
from edgekd.core.signature import Port, Signature
from edgekd.runtimes import onnx_graph, onnx_quantize, ort_format
from edgekd.runtimes.onnx_prepare import excluded_nodes
from edgekd.runtimes.onnxruntime import LEVELS, OnnxRuntime, OnnxRuntimeRuntime
from edgekd.runtimes.parity import DepartsError, Original, Parity, check_parity

SHOWN = 5


def rewritten(wanted: Wanted, written: Written) -> dict[str, Any]:
    """Write the new program; return its precision's details, opset, and what stayed in floats."""
    given, graph = surveyed(wanted)
    use, out = transform_of(wanted), Path(written.out)
    signature = _own(Signature.from_dict(written.signature), graph)
    batches = _batches(Path(written.samples), written.signature, signature)
    if graph is not given:
        _check_same(given, graph, signature, batches[0], wanted)
    facts: dict[str, Any] = {"opset": opset_of(graph), "opset_given": opset_of(given)}
    if use is not None:
        graph, facts = _quantized(graph, use, signature, batches, written, facts)
    own = {prop.key: prop.value for prop in given.metadata_props}
    _write(graph, out, own | dict(written.metadata), written.graph_level)
    return facts | {"operators": len(graph.graph.node)}


def _quantized(
    graph: Any,
    use: UseTransform,
    signature: Signature,
    batches: Sequence[Batch],
    written: Written,
    facts: dict[str, Any],
) -> tuple[Any, dict[str, Any]]:
    """Return the quantized graph, and which of its operators are and which are not."""
    excluded = excluded_nodes(graph, patterns_of(use))
    graph, computes = onnx_quantize.quantize(
        graph, use, signature=signature, calibration=batches, activation=written.activation
    )
    sort_nodes(graph.graph)
    rounded, stayed = quantized(graph), left(graph, excluded, use.kind)
    if not rounded:
        raise ObjectionError(
            f"no operator of the program was quantized: {_grouped(stayed)}.",
            "Take another kind of quantization, or leave transform out.",
            "transform",
        )
    return graph, facts | {
        "activation": computes,
        "opset": opset_of(graph),
        "quantized": rounded,
        "left": [
            {"name": layer.name, "operator": layer.operator, "weights": layer.weights, "why": why}
            for layer, why in stayed
        ],
    }


def _own(signature: Signature, graph: Any) -> Signature:
    """Return the signature by the program's own names: they may differ where one is alone."""
    inputs, outputs = own_names(graph)
    return replace(
        signature,
        inputs=_renamed(signature.inputs, inputs),
        outputs=_renamed(signature.outputs, outputs),
    )


def _renamed(ports: Sequence[Port], own: Sequence[str]) -> tuple[Port, ...]:
    if {port.name for port in ports} <= {*own}:
        return tuple(ports)
    return tuple(replace(port, name=name) for port, name in zip(ports, own, strict=True))


def _batches(folder: Path, said: Any, own: Signature) -> list[Batch]:
    """Return the inputs that the stage wrote, by the program's own names."""
    names = [port["name"] for port in said["inputs"]]
    pairs = [*zip(names, (port.name for port in own.inputs), strict=True)]
    found: list[Batch] = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as held:
            found.append({name: torch.from_numpy(held[said]) for said, name in pairs})
    return found


def _check_same(given: Any, ready: Any, own: Signature, batch: Batch, wanted: Wanted) -> None:
    """Raise ObjectionError where the graph, made ready, computes other floats than before."""
    arrays = {port.name: batch[port.name].numpy() for port in own.inputs}
    before, after = (_outputs(model, own, arrays) for model in (given, ready))
    try:
        check_parity(
            Path(wanted.file).name,
            lambda _: after,
            before,
            arrays,
            quantized=False,
            limits=Parity(),
            original=Original("the file", "the file"),
        )
    except DepartsError as error:
        raise ObjectionError(
            f"{_raising(given, ready)}, the program computes something else: {error.message}",
            "Export it anew with that opset.",
            "opset",
        ) from error
    except StageError as error:  # the file itself gives NaN
        raise ObjectionError(
            error.message, "Look at the file: its training diverged, or it divides by 0."
        ) from error


def _raising(given: Any, ready: Any) -> str:
    """Return what was done to the graph before its numbers are rounded."""
    before, after = opset_of(given), opset_of(ready)
    if before == after:
        return "with its constants as initializers and its functions written out"
    return f"raised from opset {before} to {after}"


def _outputs(model: Any, own: Signature, arrays: Arrays) -> Arrays:
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        found = OnnxRuntimeRuntime(OnnxRuntime(graph_level="off")).open(path)(arrays)
    return {port.name: found[port.name] for port in own.outputs}


def _write(graph: Any, out: Path, metadata: dict[str, str], level: str) -> None:
    if out.suffix == ".onnx":
        onnx_graph.write(graph, out, metadata)
        return
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.onnx"
        onnx_graph.write(graph, plain, metadata)
        ort_format.convert(plain, out, LEVELS[level])


def _grouped(stayed: Sequence[tuple[Layer, str]]) -> str:
    """Return how many layers stayed for each reason."""
    reasons = Counter((layer.operator, why) for layer, why in stayed).most_common(SHOWN)
    shown = [f"{count} {operator} ({why})" for (operator, why), count in reasons]
    return ", ".join(shown) or "there is none with weights"
