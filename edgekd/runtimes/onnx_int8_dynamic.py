"""Dynamic int8 in ONNX: weights in int8, inputs quantized by operators of the graph."""

import tempfile
from pathlib import Path
from typing import Any

from edgekd.core.quantization import Int8Dynamic
from edgekd.core.quiet import quiet
from edgekd.runtimes.onnx_prepare import excluded_nodes, prepared

LINEARS = ["MatMul", "Gemm"]


def quantize(model: Any, options: Int8Dynamic) -> Any:
    """Return the model with int8 weights and uint8 inputs, one range of each for a whole batch.

    RequestError where an excluded module has no node.
    """
    import onnx
    from onnxruntime import quantization as ort

    excluded = excluded_nodes(model, options.exclude)
    more = ["Conv"] * options.convolutions + ["Gather"] * options.embeddings
    with tempfile.TemporaryDirectory() as folder, quiet():
        out = Path(folder) / "quantized.onnx"
        ort.quantize_dynamic(
            prepared(model, Path(folder)),
            out,
            op_types_to_quantize=[*LINEARS, *more],
            per_channel=options.granularity == "channel",
            weight_type=ort.QuantType.QInt8,
            nodes_to_exclude=excluded,
        )
        return onnx.load(out)
