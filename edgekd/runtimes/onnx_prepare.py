"""What ONNX Runtime's quantizers want of an exported graph before they start."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgekd.core.errors import Problem, RequestError
from edgekd.runtimes.onnx_graph import nodes_of_modules


def excluded_nodes(model: Any, paths: Sequence[str]) -> list[str]:
    """Return the names of the nodes of the modules; RequestError where one has no node.

    A Gemm that a quantizer takes apart leaves a MatMul that bears its name and an ending.
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
    return found + [f"{name}_MatMul" for name in found if "/Gemm" in name]


def prepared(model: Any, folder: Path) -> Path:
    """Return the file of the model with the constants folded and the shapes known.

    The shapes that the exporter wrote make the quantizer's own inference fail: they go first.
    """
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    plain, ready = folder / "plain.onnx", folder / "prepared.onnx"
    del model.graph.value_info[:]
    onnx.save(model, plain)
    quant_pre_process(plain, ready, skip_symbolic_shape=True)
    return ready
