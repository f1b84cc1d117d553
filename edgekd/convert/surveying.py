"""What speaks against another form of a program, told by looking at its graph alone.

Runs in `convert.process` alone.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgekd.convert.asking import Objection, Wanted
from edgekd.convert.graph import make_ready, opset_of
from edgekd.convert.layers import Layer, layers, rounded_already
from edgekd.convert.opset import LEAST, WITH_AXIS, least_opset, raised
from edgekd.core.errors import nearest
from edgekd.core.quantization import Int8Static
from edgekd.core.quiet import quiet
from edgekd.core.refs import UseTransform, as_read
from edgekd.runtimes import onnx_graph
from edgekd.runtimes.onnx_prepare import prepared

SHOWN = 5


class ObjectionError(Exception):
    """A program cannot have the form that is asked for."""

    def __init__(self, message: str, next_step: str, path: str = ""):
        self.objection = Objection(path, message, next_step)
        super().__init__(message)


def surveyed(wanted: Wanted) -> tuple[Any, Any]:
    """Return the graph as it is and, ready for quantizers, in the opset that they need.

    ObjectionError names what is in the way.
    """
    import onnx

    name = Path(wanted.file).name
    given = onnx.load(wanted.file)
    if given.ByteSize() >= onnx_graph.LARGEST_FILE:
        message = f"{name} has 2 GiB or more, which cannot be rewritten here."
        raise ObjectionError(message, "Validate it as it is given.")
    use = transform_of(wanted)
    needed = least_opset(use.options if use else None)  # type: ignore[arg-type]
    _refuse_too_low(wanted, needed)
    lowest = max(needed, wanted.opset or 0)
    if use is None and opset_of(given) >= lowest:
        _refuse_lowering(given, wanted)
        return given, given
    ready = onnx.ModelProto()
    ready.CopyFrom(given)
    ready = _raised(make_ready(ready), lowest, wanted)
    if use is not None:
        _refuse_unfit(ready, use, wanted)
    return given, ready


def _refuse_lowering(given: Any, wanted: Wanted) -> None:
    if wanted.opset is not None and opset_of(given) > wanted.opset:
        raise ObjectionError(
            f"the program has opset {opset_of(given)}, and an opset is only raised here.",
            "Leave opset out.",
            "opset",
        )


def _refuse_too_low(wanted: Wanted, needed: int) -> None:
    if wanted.opset is not None and wanted.opset < needed:
        step = "" if needed == LEAST else ", or granularity: tensor, which needs 11 only"
        raise ObjectionError(
            f"opset {wanted.opset} is asked for, and what it is to be quantized by needs {needed}.",
            f"Leave opset out{step}.",
            "opset",
        )


def _raised(ready: Any, lowest: int, wanted: Wanted) -> Any:
    """Return the graph in the opset that is needed or asked for."""
    _refuse_lowering(ready, wanted)
    try:
        return raised(ready, lowest)
    except ValueError as error:
        asked, step = wanted.opset is not None, "Export it anew with that opset"
        tensor = "; int8_static with granularity: tensor needs 11 only"
        raise ObjectionError(
            f"the program has opset {opset_of(ready)}, and opset {lowest} is needed; onnx's "
            f"version converter cannot raise it: {error}",
            f"{step}{tensor if lowest == WITH_AXIS and not asked else ''}.",
            "opset" if asked else "transform",
        ) from error


def _refuse_unfit(ready: Any, use: UseTransform, wanted: Wanted) -> None:
    """Raise ObjectionError where the graph is quantized already or has nothing to quantize."""
    if there := rounded_already(ready):
        shown = f"{there[0]} and {len(there) - 1} more operators" if there[1:] else there[0]
        raise ObjectionError(
            f"the program is quantized already: it has {shown}.",
            "Validate it as it is given, or give the program in float32.",
            "transform",
        )
    _refuse_half(ready)
    found = layers(_folded(ready))
    if not found:
        message = "the program has no operator with constant weights in floating point."
        raise ObjectionError(message, "Validate it as it is given.", "transform")
    _refuse_subgraphs(found, use)
    _refuse_convolutions(found, use)
    _check_excluded(ready, use, wanted)


def _refuse_half(ready: Any) -> None:
    """Raise ObjectionError where weights are in 16 bits."""
    half = [layer for layer in layers(ready) if layer.precision in ("float16", "bfloat16")]
    if half:
        raise ObjectionError(
            f"the weights of {len(half)} operators are {half[0].precision}, such as those of "
            f"{half[0].operator} '{half[0].name}'; scales are taken of float32 ones here.",
            "Give the program in float32.",
            "transform",
        )


def _folded(ready: Any) -> Any:
    """Return the graph as the quantizers see it: weights may be computed of constants."""
    import onnx

    with tempfile.TemporaryDirectory() as folder, quiet(native=True):
        return onnx.load(prepared(ready, Path(folder)))


def _refuse_subgraphs(found: Sequence[Layer], use: UseTransform) -> None:
    """Raise ObjectionError where all layers are in subgraphs, which stay as they are."""
    if all(layer.within for layer in found):
        where = sorted({layer.within for layer in found})
        raise ObjectionError(
            f"all {len(found)} operators with weights are inside {_names(where)}, and "
            f"{use.kind} does not go into subgraphs.",
            "Give a program without that branch: export it for one case, or let a simplifier that "
            "fixes the input which decides it (onnxsim) take it out.",
            "transform",
        )


def _refuse_convolutions(found: Sequence[Layer], use: UseTransform) -> None:
    """Raise ObjectionError where a kind for linear layers meets a program of convolutions."""
    if isinstance(use.options, Int8Static) or getattr(use.options, "convolutions", False):
        return
    reached = [layer for layer in found if not layer.within]
    weights = {
        convolutional: sum(
            layer.weights for layer in reached if layer.operator.startswith("Conv") is convolutional
        )
        for convolutional in (True, False)
    }
    if weights[True] > weights[False]:
        raise ObjectionError(
            f"{weights[True]:,} of the program's {sum(weights.values()):,} weights are in "
            f"convolutions, which {use.kind} leaves in floats.",
            "Take int8_static.",
            "transform",
        )


def _check_excluded(ready: Any, use: UseTransform, wanted: Wanted) -> None:
    names = [node.name for node in ready.graph.node]
    for index, pattern in enumerate(patterns_of(use)):
        if not any(onnx_graph.is_named(name, pattern) for name in names):
            near = nearest(pattern, {layer.name for layer in layers(ready)})
            message = f"no node of the program is called '{pattern}'."
            raise ObjectionError(message, near, f"{wanted.exclude_at}[{index}]")


def patterns_of(use: UseTransform) -> tuple[str, ...]:
    """Return what stays in floats, as the file names it."""
    return tuple(getattr(use.options, "exclude", ()))


def transform_of(wanted: Wanted) -> UseTransform | None:
    """Return how the program is to be quantized."""
    said = wanted.transform
    return None if said is None else UseTransform.model_validate(as_read(dict(said)))


def _names(where: Sequence[str]) -> str:
    more = [f"{len(where) - SHOWN} more"] if len(where) > SHOWN else []
    return ", ".join([*where[:SHOWN], *more])
