"""Dynamic int8: weights rounded once, and what a layer is given rounded to a range of that call.

Linear layers by PyTorch's export quantization (PT2E) with ExecuTorch's XNNPACK quantizer; the
result runs in PyTorch and lowers to a program that computes in int8. ONNX Runtime programs follow
the same options by their own quantizer, convolutions and embeddings too where they are asked for.
"""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.core.errors import Problem
from edgekd.core.kinds import transform
from edgekd.core.protocols.values import Batch
from edgekd.core.quantization import Int8Dynamic
from edgekd.core.quiet import quiet
from edgekd.core.signature import Signature
from edgekd.transforms.paths import check_paths
from edgekd.transforms.tracing import outside, traced
from edgekd.transforms.weighted import CONVOLUTIONS, layers_of

LEVELS = 127
"""Of 8 signed bits, those on one side of zero."""


def check(config: Int8Dynamic, model: nn.Module) -> Iterator[Problem]:
    """Yield that a model is mostly convolutions, which gain nothing of it."""
    if config.convolutions:
        return
    linears = layers_of(model, nn.Linear, config.exclude)
    convolutions = layers_of(model, CONVOLUTIONS, config.exclude)
    if convolutions.weights > linears.weights:
        yield Problem(
            "",
            f"{convolutions.weights:,} of the model's {convolutions.weights + linears.weights:,} "
            "weights are in convolutions, which int8_dynamic leaves in fp32: in ONNX Runtime they "
            "become 9 to 10 times slower when their input is quantized at run time.",
            "Take int8_static, or ask for it with convolutions: true.",
        )
    elif not linears.paths:
        yield Problem("", "the model has no linear layer to quantize.", "Take int8_static.")


def leaves(config: Int8Dynamic, model: nn.Module) -> Iterator[str]:
    """Yield what stays in fp32 though nobody excluded it."""
    convolutions = layers_of(model, CONVOLUTIONS, config.exclude)
    if convolutions.paths and not config.convolutions:
        yield f"{len(convolutions.paths)} convolutions"


@transform(
    config=Int8Dynamic,
    purpose="quantize",
    check=check,
    leaves=leaves,
    distributions=("torchao", "executorch"),
)
def int8_dynamic(
    config: Int8Dynamic, model: nn.Module, *, signature: Signature, batches: Sequence[Batch]
) -> nn.Module:
    """Return a copy of the model that rounds to int8; the first batch is traced with.

    RequestError where `exclude` names no module.
    """
    check_paths(config.exclude, model)
    model = copy.deepcopy(model).cpu().eval()
    if config.convolutions:
        for path in layers_of(model, CONVOLUTIONS, config.exclude).paths:
            _round(model.get_submodule(path), per_channel=config.granularity == "channel")
    with quiet():
        from torchao.quantization.pt2e import allow_exported_model_train_eval
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

        observed = prepare_pt2e(traced(model, signature, batches[0]), _quantizer(config))
        with torch.no_grad():  # observers of weights look only when they are run
            observed(*(batches[0][port.name].cpu() for port in signature.inputs))
        converted: nn.Module = allow_exported_model_train_eval(convert_pt2e(observed))
        converted.eval()
    return converted


def _quantizer(config: Int8Dynamic) -> Any:
    """Return ExecuTorch's quantizer for linear layers; it would take some convolutions too."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )

    spec = get_symmetric_quantization_config(
        is_per_channel=config.granularity == "channel", is_dynamic=True
    )
    quantizer = XNNPACKQuantizer().set_operator_type(torch.ops.aten.linear.default, spec)
    return quantizer.set_filter_function(outside(config.exclude)) if config.exclude else quantizer


def _round(layer: nn.Module, *, per_channel: bool) -> None:
    """Have a convolution round its weight now and its input in every call, as ONNX Runtime does.

    A batch norm that an export folds into it multiplies whole channels, so it changes nothing of
    what is rounded where each has a scale of its own, and little where all share one.
    """
    weight = layer.weight
    assert isinstance(weight, nn.Parameter)
    axes = tuple(range(1, weight.ndim)) if per_channel else tuple(range(weight.ndim))
    with torch.no_grad():
        scale = (weight.abs().amax(axes, keepdim=True) / LEVELS).clamp(min=1e-12)
        weight.copy_((weight / scale).round() * scale)
    layer.register_forward_pre_hook(lambda _, given: (_rounded(given[0]), *given[1:]))


def _rounded(given: Tensor) -> Tensor:
    """Return values rounded to 256 levels between the least and the largest, zero among them."""
    low, high = given.amin().clamp(max=0), given.amax().clamp(min=0)
    scale = ((high - low) / (2 * LEVELS + 1)).clamp(min=1e-12)
    zero = (-low / scale).round()
    return ((given / scale + zero).round().clamp(0, 2 * LEVELS + 1) - zero) * scale
