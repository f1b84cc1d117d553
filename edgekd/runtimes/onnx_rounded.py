"""Static int8 in ONNX as it was traced: the rounding of the PyTorch model, scales and all."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekd.runtimes.onnx_graph import drop_unused, parameters_of

SHIFT = 128
"""From a signed byte to the unsigned one in its place."""
ROUNDING = ("QuantizeLinear", "DequantizeLinear")


def with_activations(model: Any, activation: Literal["uint8", "int8"]) -> Any:
    """Return the graph with activations of a type; scales and what is computed stay the same.

    The exporter writes them signed. Unsigned ones have each zero point higher by 128, which ONNX
    Runtime multiplies faster on x86. Constants, weights above all, stay signed.
    """
    if activation == "uint8":
        signed = parameters_of(model)
        shifted: dict[str, str] = {}
        for node in model.graph.node:
            if node.op_type in ROUNDING and node.input[0] not in signed:
                name = node.input[2]
                if name not in shifted:
                    shifted[name] = _shifted(model.graph, name, signed[name])
                node.input[2] = shifted[name]
        drop_unused(model.graph)
    return model


def _shifted(graph: Any, name: str, zero: NDArray[Any]) -> str:
    """Add the zero point of unsigned bytes; return its name."""
    from onnx import numpy_helper

    unsigned = (zero.astype(np.int16) + SHIFT).astype(np.uint8)
    graph.initializer.append(numpy_helper.from_array(unsigned, f"{name}_unsigned"))
    return f"{name}_unsigned"
