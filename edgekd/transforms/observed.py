"""A traced model with observers wherever XNNPACK's quantizer rounds."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from edgekd.core.errors import StageError
from edgekd.core.protocols.values import Batch
from edgekd.core.quantization import Int8Static
from edgekd.core.signature import Signature
from edgekd.ops.ranges import Histogram, Levels, least_squares_range
from edgekd.transforms.clamped import clamped
from edgekd.transforms.padded import round_padded
from edgekd.transforms.tracing import CPU, outside, traced

BATCH_NORM = torch.ops.aten.batch_norm.default


@dataclass(frozen=True)
class Observed:
    """The traced model; its batch norms are folded into the layers before them."""

    graph: Any
    folded: Mapping[str, str]
    """By the name of a weight, the path of the batch norm that was folded into its layer."""
    signature: Signature
    device: torch.device

    def run(self, batches: Sequence[Batch]) -> None:
        """Pass batches through the graph, for its observers to see."""
        with torch.no_grad():
            for batch in batches:
                self.graph(*(batch[p.name].to(self.device) for p in self.signature.inputs))

    def activations(self) -> dict[str, str]:
        """Return the observers of activations: by the name of the value, that of the module.

        Values that share an observer go by the name of the first.
        """
        return {value: name for value, name, weight in self._observers() if not weight}

    def weights(self) -> dict[str, str]:
        """Return the observers of weights: by the weight's name, that of the module."""
        return {value: name for value, name, weight in self._observers() if weight}

    def _observers(self) -> Iterator[tuple[str, str, bool]]:
        seen = set()
        for node in self.graph.graph.nodes:
            if node.op != "call_module" or not node.target.startswith("activation_post_process"):
                continue
            observer, of = self.graph.get_submodule(node.target), node.args[0]
            if id(observer) not in seen:
                seen.add(id(observer))
                weight = of.op == "get_attr"
                yield (of.target if weight else of.name), node.target, weight


def observed(
    config: Int8Static,
    model: nn.Module,
    signature: Signature,
    batch: Batch,
    device: torch.device = CPU,
) -> Observed:
    """Return the model as XNNPACK's quantizer sees it; the batch is only traced with."""
    from torchao.quantization.pt2e.quantize_pt2e import prepare_pt2e

    graph = traced(model, signature, batch, device)
    norms = dict(_normed(graph))
    prepared = prepare_pt2e(graph, _quantizer(config))
    left = {path for _, path in _normed(prepared)}
    folded = {layer: path for layer, path in norms.items() if path not in left}
    return Observed(prepared, folded, signature, device)


def _normed(graph: Any) -> Iterator[tuple[str, str]]:
    """Yield the name of each weight whose layer feeds a batch norm, and the norm's path."""
    for node in graph.graph.nodes:
        if node.target is BATCH_NORM and len(node.args[0].args) > 1:
            weight, mean = node.args[0].args[1], node.args[3]
            if getattr(weight, "op", "") == "get_attr":
                yield weight.target, mean.target.rpartition(".")[0]


def calibrate(config: Int8Static, seen: Observed, batches: Sequence[Batch]) -> None:
    """Fix the ranges of all activations: the given ones, or those that the batches show.

    StageError where ranges are given for another graph.
    """
    if config.ranges:
        seen.run(batches[:1])  # observers of weights look only when they are run
        _give(seen, config.ranges)
        return
    with clamped(seen.graph):
        if config.calibration == "mse":
            _give(seen, _least_squares(config, seen, batches))
        else:
            seen.run(batches)


def _give(seen: Observed, ranges: Mapping[str, tuple[float, float]]) -> None:
    activations = seen.activations()
    if ranges.keys() != activations.keys():
        strange = sorted(ranges.keys() ^ activations.keys())
        raise StageError(
            f"the ranges were trained for a graph with other values: {', '.join(strange[:5])}.",
            "Train it again: the model, exclude or the version of torch is another one.",
        )
    for value, (low, high) in ranges.items():
        observer = seen.graph.get_submodule(activations[value])
        observer.min_val = torch.tensor(low, device=seen.device)
        observer.max_val = torch.tensor(high, device=seen.device)


def _least_squares(
    config: Int8Static, seen: Observed, batches: Sequence[Batch]
) -> dict[str, tuple[float, float]]:
    """Return the range of each activation that has the least squared error over the batches."""
    found = {value: Histogram() for value in seen.activations()}
    hooks = [
        seen.graph.get_submodule(name).register_forward_pre_hook(_counting(found[value]))
        for value, name in seen.activations().items()
    ]
    seen.run(batches)
    for hook in hooks:
        hook.remove()
    levels = levels_of(config)
    return {value: least_squares_range(histogram, levels) for value, histogram in found.items()}


def _counting(histogram: Histogram) -> Any:
    def count(_: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        histogram.add(given[0])

    return count


def levels_of(config: Int8Static) -> Levels:
    """Return what activations are rounded to."""
    return Levels(symmetric=bool(config.symmetric))


def _quantizer(config: Int8Static) -> Any:
    """Return ExecuTorch's quantizer for the options."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )

    class WithPadding(XNNPACKQuantizer):  # type: ignore[misc]
        """ExecuTorch's quantizer, which also rounds what is padded."""

        def annotate(self, model: torch.fx.GraphModule) -> torch.fx.GraphModule:
            marked: torch.fx.GraphModule = super().annotate(model)
            round_padded(marked)
            return marked

    spec = get_symmetric_quantization_config(is_per_channel=config.granularity == "channel")
    activation = spec.input_activation
    if config.ranges or config.calibration in {"minmax", "mse"}:
        activation = _min_max(activation)
    if config.symmetric:
        activation = dataclasses.replace(activation, qscheme=torch.per_tensor_symmetric)
    spec = dataclasses.replace(spec, input_activation=activation, output_activation=activation)
    quantizer = WithPadding().set_global(spec)
    return quantizer.set_filter_function(outside(config.exclude)) if config.exclude else quantizer


def _min_max(spec: Any) -> Any:
    """Return an activation's specification with plain min-max ranges, not a histogram's."""
    from torchao.quantization.pt2e import MinMaxObserver

    return dataclasses.replace(
        spec, observer_or_fake_quant_ctr=MinMaxObserver.with_args(eps=2**-12)
    )
