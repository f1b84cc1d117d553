"""Static int8: the model with its rounding simulated, as the XNNPACK back-end will compute it.

PyTorch's export quantization (PT2E) with ExecuTorch's XNNPACK quantizer: weights symmetric and
per channel, activations signed with one scale per tensor. The result runs in PyTorch, in floats
that are rounded where int8 would round, and lowers to a program that computes in int8. ONNX
Runtime programs follow the same options by their own quantizer, or, where the ranges were trained
or found by least squares, are this graph itself.
"""

from collections.abc import Sequence

import torch
from torch import nn

from edgekd.core.kinds import transform
from edgekd.core.protocols.values import Batch
from edgekd.core.quantization import Int8Static
from edgekd.core.quiet import quiet
from edgekd.core.signature import Signature
from edgekd.transforms.observed import calibrate, levels_of, observed
from edgekd.transforms.paths import check_paths
from edgekd.transforms.rounding import Rounding


def learns(
    config: Int8Static,
    model: nn.Module,
    *,
    signature: Signature,
    batches: Sequence[Batch],
    until: int,
    device: torch.device,
) -> Rounding:
    """Return the model as one that rounds and can be trained, its ranges from the batches.

    The ranges follow what is seen in training until so many passes are over.
    """
    check_paths(config.exclude, model)
    with quiet():
        seen = observed(config, model, signature, batches[0], device)
        calibrate(config, seen, batches)
        return Rounding(seen, levels_of(config), until=until)


def by_layer(
    config: Int8Static, model: nn.Module, *, signature: Signature, batches: Sequence[Batch]
) -> torch.fx.GraphModule:
    """Return the same simulation for `ops.rounding`, which switches its layers on and off.

    Its weights are rounded whenever it runs, and all ranges are taken already.
    """
    return _converted(config, model, signature, batches, fold=False)


@transform(
    config=Int8Static,
    purpose="quantize",
    learns=learns,
    by_layer=by_layer,
    distributions=("torchao", "executorch"),
)
def int8_static(
    config: Int8Static, model: nn.Module, *, signature: Signature, batches: Sequence[Batch]
) -> nn.Module:
    """Return a copy of the model that rounds to int8; its ranges come from the batches.

    RequestError where `exclude` names no module, StageError where ranges are given for another
    graph.
    """
    return _converted(config, model, signature, batches, fold=True)


def _converted(
    config: Int8Static,
    model: nn.Module,
    signature: Signature,
    batches: Sequence[Batch],
    *,
    fold: bool,
) -> torch.fx.GraphModule:
    """Return the calibrated graph; `fold` keeps its weights in int8, else they are rounded anew."""
    check_paths(config.exclude, model)
    with quiet():
        from torchao.quantization.pt2e import allow_exported_model_train_eval
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e

        seen = observed(config, model, signature, batches[0])
        calibrate(config, seen, batches)
        converted: torch.fx.GraphModule = allow_exported_model_train_eval(
            convert_pt2e(seen.graph, fold_quantize=fold)
        )
        converted.eval()
    return converted
