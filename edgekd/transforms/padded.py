"""Zeros set around a picture, rounded as what they are set around: they need no step of their own.

XNNPACK's quantizer passes them over, so that a padded value would be made float, padded, and
rounded again by its reader: two conversions and four times the bytes, for each such layer.
"""

from typing import Any

import torch
from torch import fx

PAD = torch.ops.aten.pad.default
"""Its arguments: a value, how much goes on each side, mode ("constant"), and what (None for 0)."""


def round_padded(graph: fx.GraphModule) -> None:
    """Mark zero padding in a graph that a quantizer has marked, and what only passes on values."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer_utils import propagate_annotation

    for node in graph.graph.nodes:
        if pads_with_zeros(node):
            _share(node)
    propagate_annotation(graph)


def pads_with_zeros(node: fx.Node) -> bool:
    """Tell whether a node sets zeros around a value, and cuts nothing off."""
    if node.target is not PAD:
        return False
    given: tuple[Any, ...] = node.args[1:]
    sides, mode, value = given + ("constant", None)[len(given) - 1 :]
    return mode == "constant" and not value and all(isinstance(n, int) and n >= 0 for n in sides)


def _share(node: fx.Node) -> None:
    """Give a padded value the step that it had before, where it had one."""
    from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, SharedQuantizationSpec
    from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

    before: Any = node.args[0]
    known = before.meta.get(Q_ANNOTATION_KEY)
    if known is not None and known.output_qspec is not None:
        shared = SharedQuantizationSpec(before)
        node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(
            input_qspec_map={before: shared}, output_qspec=shared, _annotated=True
        )
