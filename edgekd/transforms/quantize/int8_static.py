"""Static int8: the model with its rounding simulated, as the XNNPACK back-end will compute it.

PyTorch's export quantization (PT2E) with ExecuTorch's XNNPACK quantizer: weights symmetric and
per channel, activations signed with one scale per tensor. The result runs in PyTorch, in floats
that are rounded where int8 would round, and lowers to a program that computes in int8. ONNX
Runtime programs follow the same options by their own quantizer.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from edgekd.core.kinds import transform
from edgekd.core.protocols import Batch
from edgekd.core.quantization import Int8Static
from edgekd.core.quiet import quiet
from edgekd.core.signature import Signature
from edgekd.transforms.tracing import check_excluded, outside, traced


@transform(config=Int8Static, purpose="quantize", distributions=("torchao", "executorch"))
def int8_static(
    config: Int8Static, model: nn.Module, *, signature: Signature, batches: Sequence[Batch]
) -> nn.Module:
    """Return a copy of the model that rounds to int8; its ranges come from the batches.

    RequestError where `exclude` names no module.
    """
    check_excluded(config.exclude, model)
    with quiet():
        from torchao.quantization.pt2e import allow_exported_model_train_eval
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

        graph = traced(model, signature, batches[0])
        observed = prepare_pt2e(graph, _quantizer(config))
        with torch.no_grad():
            for batch in batches:
                observed(*(batch[port.name].cpu() for port in signature.inputs))
        converted: nn.Module = allow_exported_model_train_eval(convert_pt2e(observed))
        converted.eval()
    return converted


def _quantizer(config: Int8Static) -> Any:
    """Return ExecuTorch's quantizer for the options."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )

    spec = get_symmetric_quantization_config(is_per_channel=config.granularity == "channel")
    activation = spec.input_activation
    if config.calibration == "minmax":
        activation = _min_max(activation)
    if config.symmetric:
        activation = dataclasses.replace(activation, qscheme=torch.per_tensor_symmetric)
    spec = dataclasses.replace(spec, input_activation=activation, output_activation=activation)
    quantizer = XNNPACKQuantizer().set_global(spec)
    return quantizer.set_filter_function(outside(config.exclude)) if config.exclude else quantizer


def _min_max(spec: Any) -> Any:
    """Return an activation's specification with plain min-max ranges, not a histogram's."""
    from torchao.quantization.pt2e import MinMaxObserver

    return dataclasses.replace(
        spec, observer_or_fake_quant_ctr=MinMaxObserver.with_args(eps=2**-12)
    )
