"""4-bit weights in ONNX: MatMulNBits, an operator of ONNX Runtime, in place of MatMul."""

import tempfile
from pathlib import Path
from typing import Any

from edgekd.core.quantization import Int4Weights
from edgekd.core.quiet import quiet
from edgekd.runtimes.onnx_prepare import excluded_nodes, prepared

ACCURACY_LEVELS = {"float32": 1, "int8": 4}
"""What the operator may round its input to, in its own numbers."""


def quantize(model: Any, options: Int4Weights) -> Any:
    """Return the model with 4-bit weights wherever a product has constant ones.

    RequestError where an excluded module has no node.
    """
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
    from onnxruntime.quantization.onnx_model import ONNXModel

    excluded = excluded_nodes(model, options.exclude)
    with tempfile.TemporaryDirectory() as folder, quiet():
        products = ONNXModel(onnx.load(prepared(model, Path(folder))))
        products.replace_gemm_with_matmul()
        quantizer = MatMulNBitsQuantizer(
            products.model,
            bits=4,
            block_size=options.block_size,
            is_symmetric=options.symmetric,
            accuracy_level=ACCURACY_LEVELS[options.activation],
            nodes_to_exclude=excluded,
        )
        quantizer.process()
        quantized = quantizer.model
    quantized.clean_initializers()
    return quantized.model
