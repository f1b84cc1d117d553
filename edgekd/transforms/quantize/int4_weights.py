"""4-bit weights: those of linear layers, in blocks; their inputs in 8 bits or as they are.

By torchao, whose layers XNNPACK takes with 8-bit inputs that are quantized at run time. ONNX
Runtime programs follow the same options by their own quantizer (MatMulNBits).
"""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from edgekd.core.errors import Problem
from edgekd.core.kinds import transform
from edgekd.core.protocols.values import Batch
from edgekd.core.quantization import Int4Weights
from edgekd.core.quiet import quiet
from edgekd.core.signature import Signature
from edgekd.transforms.paths import check_paths
from edgekd.transforms.weighted import CONVOLUTIONS, layers_of

FOUR_BITS = getattr(torch, "int4")  # noqa: B009  torch's stubs lack it


def check(config: Int4Weights, model: nn.Module) -> Iterator[Problem]:
    """Yield that a model is mostly convolutions, which are not quantized."""
    linears = layers_of(model, nn.Linear, config.exclude)
    convolutions = layers_of(model, CONVOLUTIONS, config.exclude)
    if convolutions.weights > linears.weights or not linears.paths:
        yield Problem(
            "",
            f"only {linears.weights:,} of the model's "
            f"{linears.weights + convolutions.weights:,} weights are in linear layers, and "
            "int4_weights quantizes no other.",
            "Take int8_static.",
        )


def leaves(config: Int4Weights, model: nn.Module) -> Iterator[str]:
    """Yield what stays in fp32 though nobody excluded it."""
    convolutions = layers_of(model, CONVOLUTIONS, config.exclude)
    if convolutions.paths:
        yield f"{len(convolutions.paths)} convolutions"
    if uneven := _uneven(config, model):
        yield (
            f"on XNNPACK {len(uneven)} linear layers whose inputs {config.block_size} does not "
            "divide"
        )


@transform(
    config=Int4Weights,
    purpose="quantize",
    check=check,
    leaves=leaves,
    distributions=("torchao", "executorch"),
)
def int4_weights(
    config: Int4Weights,
    model: nn.Module,
    *,
    signature: Signature,  # noqa: ARG001  other kinds trace the model
    batches: Sequence[Batch],  # noqa: ARG001
) -> nn.Module:
    """Return a copy of the model whose linear layers have 4-bit weights.

    RequestError where `exclude` names no module.
    """
    check_paths(config.exclude, model)
    rounded = copy.deepcopy(model).cpu().eval()
    paths = {*layers_of(model, nn.Linear, config.exclude).paths} - {*_uneven(config, model)}
    with quiet():
        from torchao.quantization import quantize_

        quantize_(rounded, _scheme(config), filter_fn=lambda _, path: path in paths)
    return rounded


def _uneven(config: Int4Weights, model: nn.Module) -> list[str]:
    """Return the linear layers whose inputs are no whole number of blocks."""
    return [
        path
        for path in layers_of(model, nn.Linear, config.exclude).paths
        if int(model.get_submodule(path).in_features) % config.block_size  # type: ignore[arg-type]
    ]


def _scheme(config: Int4Weights) -> Any:
    """Return torchao's description of the options."""
    from torchao.quantization import Int8DynamicActivationIntxWeightConfig, IntxWeightOnlyConfig
    from torchao.quantization.granularity import PerGroup
    from torchao.quantization.quant_primitives import MappingType

    mapping = MappingType.SYMMETRIC if config.symmetric else MappingType.ASYMMETRIC
    blocks = PerGroup(config.block_size)
    if config.activation == "float32":
        return IntxWeightOnlyConfig(
            weight_dtype=FOUR_BITS, granularity=blocks, mapping_type=mapping
        )
    return Int8DynamicActivationIntxWeightConfig(
        weight_dtype=FOUR_BITS, weight_granularity=blocks, weight_mapping_type=mapping
    )
