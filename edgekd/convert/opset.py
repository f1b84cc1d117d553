"""A graph in a higher operator set."""

from typing import Any

from edgekd.convert.graph import opset_of
from edgekd.core.quantization import Int8Static, Quantization

LEAST = 11
"""Opset that all quantizers of ONNX Runtime work with."""
WITH_AXIS = 13
"""Opset from which rounding may have a scale for each channel."""


def least_opset(options: Quantization | None) -> int:
    """Return the lowest opset that a quantized graph of a kind can have; 0 where it stays."""
    if options is None:
        return 0
    by_channel = isinstance(options, Int8Static) and options.granularity == "channel"
    return WITH_AXIS if by_channel else LEAST


def raised(model: Any, opset: int) -> Any:
    """Return the model in at least this opset; ValueError where onnx cannot raise it."""
    from onnx import version_converter

    if opset_of(model) >= opset:
        return model
    try:
        return version_converter.convert_version(model, opset)
    except Exception as error:  # it raises RuntimeError and others
        reason = " ".join(str(error).split()).rpartition(": ")[2][:200]
        raise ValueError(reason) from error
