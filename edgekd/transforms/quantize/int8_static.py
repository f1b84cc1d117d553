"""Static int8: the model with its rounding simulated, as the XNNPACK back-end will compute it.

PyTorch's export quantization (PT2E) with ExecuTorch's XNNPACK quantizer: weights symmetric and
per channel, activations signed with one scale per tensor. The result runs in PyTorch, in floats
that are rounded where int8 would round, and lowers to a program that computes in int8. ONNX
Runtime programs follow the same options by their own quantizer.
"""

import copy
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from edgekd.core.errors import Problem, RequestError, nearest
from edgekd.core.kinds import transform
from edgekd.core.protocols import Batch
from edgekd.core.quantization import Int8Static
from edgekd.core.quiet import quiet
from edgekd.core.signature import Signature


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
    by_layer=by_layer,
    distributions=("torchao", "executorch"),
)
def int8_static(
    config: Int8Static, model: nn.Module, *, signature: Signature, batches: Sequence[Batch]
) -> nn.Module:
    """Return a copy of the model that rounds to int8; its ranges come from the batches.

    RequestError where `exclude` names no module.
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
    _check_paths(config, model)
    with quiet():
        from torchao.quantization.pt2e import allow_exported_model_train_eval
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

        graph = _graph(model, signature, batches[0])
        observed = prepare_pt2e(graph, _quantizer(config))
        with torch.no_grad():
            for batch in batches:
                observed(*(batch[port.name].cpu() for port in signature.inputs))
        converted: torch.fx.GraphModule = allow_exported_model_train_eval(
            convert_pt2e(observed, fold_quantize=fold)
        )
        converted.eval()
    return converted


def _check_paths(config: Int8Static, model: nn.Module) -> None:
    known = [name for name, _ in model.named_modules() if name]
    missing = [path for path in config.exclude if path not in known]
    if missing:
        raise RequestError(
            [
                Problem("exclude", f"the model has no module '{path}'.", nearest(path, known))
                for path in missing
            ]
        )


def _graph(model: nn.Module, signature: Signature, batch: Batch) -> nn.Module:
    """Return the traced model; dimensions that the signature names may vary."""
    names = {name for port in signature.inputs for name in port.shape if isinstance(name, str)}
    most = dict(signature.most)
    dims = {name: torch.export.Dim(name, min=1, max=most.get(name)) for name in sorted(names)}
    shapes = tuple(
        {axis: dims[name] for axis, name in enumerate(port.shape) if name in dims}
        for port in signature.inputs
    )
    inputs = tuple(_at_least_two(batch[port.name].cpu()) for port in signature.inputs)
    copied = copy.deepcopy(model).cpu().eval()
    return torch.export.export(copied, inputs, dynamic_shapes=shapes).module()


def _at_least_two(tensor: torch.Tensor) -> torch.Tensor:
    """Return the tensor with two rows or more: tracing one row would fix the batch at one."""
    return tensor if tensor.ndim == 0 or len(tensor) > 1 else tensor.repeat_interleave(2, 0)


def _quantizer(config: Int8Static) -> Any:
    """Return ExecuTorch's quantizer for the options."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )

    spec = get_symmetric_quantization_config(is_per_channel=config.granularity == "channel")
    if config.calibration == "minmax":
        spec = dataclasses.replace(
            spec,
            input_activation=_min_max(spec.input_activation),
            output_activation=_min_max(spec.output_activation),
        )
    quantizer = XNNPACKQuantizer().set_global(spec)
    return quantizer.set_filter_function(_outside(config.exclude)) if config.exclude else quantizer


def _min_max(spec: Any) -> Any:
    """Return an activation's specification with plain min-max ranges, not a histogram's."""
    from torchao.quantization.pt2e import MinMaxObserver

    return dataclasses.replace(
        spec, observer_or_fake_quant_ctr=MinMaxObserver.with_args(eps=2**-12)
    )


def _outside(paths: Sequence[str]) -> Callable[[torch.fx.Node], bool]:
    """Return a test for graph nodes that come from none of the modules."""

    def outside(node: torch.fx.Node) -> bool:
        stack = node.meta.get("nn_module_stack", {}).values()
        return not any(module in paths for module, _ in stack)

    return outside
