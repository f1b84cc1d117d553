"""From a specification to a quantized ONNX graph: one quantizer for each kind."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from torch import nn

from edgekd.core.errors import Problem, StageError
from edgekd.core.protocols.values import Batch
from edgekd.core.quantization import Int4Weights, Int8Dynamic, Int8Static, Quantization
from edgekd.core.refs import UseTransform
from edgekd.core.signature import Signature
from edgekd.runtimes import (
    onnx_faster,
    onnx_int4,
    onnx_int8_dynamic,
    onnx_int8_static,
    onnx_rounded,
)

KINDS = "int8_static, int8_dynamic or int4_weights"


def check(quantization: UseTransform) -> Iterator[Problem]:
    """Yield that no quantizer here follows the specification."""
    if not isinstance(quantization.options, Quantization):
        message = f"ONNX Runtime programs cannot be quantized by '{quantization.kind}'."
        yield Problem("model", message, f"Quantize the model with {KINDS}.")


def rounded(
    model: nn.Module, use: UseTransform, signature: Signature, calibration: Sequence[Batch]
) -> nn.Module:
    """Return what to trace: the model that rounds already, where that settles the ranges."""
    if isinstance(use.options, Int8Static) and use.options.settled:
        simulated: nn.Module = use.build()(model, signature=signature, batches=calibration)
        return simulated
    return model


def quantize(
    graph: Any,
    use: UseTransform,
    *,
    signature: Signature,
    calibration: Sequence[Batch],
    activation: Literal["uint8", "int8"],
) -> tuple[Any, str]:
    """Return the quantized graph of a model that `rounded` gave, and what its products take.

    `activation` is for kinds that leave the type open. StageError where no quantizer follows the
    specification, RequestError where an excluded module has no node.
    """
    match use.options:
        case Int8Static(settled=True):
            rounding = onnx_rounded.with_activations(graph, activation)
            onnx_faster.fill_channels(rounding)
            return rounding, activation
        case Int8Static() as options:
            quantized = onnx_int8_static.quantize(
                graph,
                options,
                signature=signature,
                calibration=calibration,
                activation=activation,
            )
            onnx_faster.fill_channels(quantized)
            return quantized, activation
        case Int8Dynamic() as options:
            return onnx_int8_dynamic.quantize(graph, options), "uint8"
        case Int4Weights() as options:
            return onnx_int4.quantize(graph, options), options.activation
    problem = next(check(use))
    raise StageError(problem.message, problem.next_step)
