"""A model that rounds as its int8 program will and goes on learning (QAT).

Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", arXiv 1712.05877, section 3. Two departures: batch norms are
folded from the start, as the exporter folds them, and not trained any more; and the ranges of
activations, moving averages as there, begin with the calibrated ones.
"""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgekd.core.quiet import quiet
from edgekd.ops.ranges import Levels
from edgekd.transforms.observed import Observed

WEIGHTS = Levels(-127, 127, symmetric=True)
FOLLOWS = 0.01
"""How far a range moves towards that of each batch."""


class RoundedActivation(nn.Module):
    """Round to a range that follows the batches seen in training, until it is fixed."""

    low: Tensor
    high: Tensor
    seen: Tensor

    def __init__(self, levels: Levels, low: float, high: float, until: int):
        super().__init__()
        self.levels, self.until = levels, until
        self.register_buffer("low", torch.tensor(low))
        self.register_buffer("high", torch.tensor(high))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, given: Tensor) -> Tensor:
        """Return the rounded values; in training mode, move the range first."""
        if self.training:
            self._follow(given.detach())
        scale, zero = self.levels.steps(self.low, self.high)
        return torch.fake_quantize_per_tensor_affine(
            given, scale, zero, self.levels.least, self.levels.most
        )

    @torch.no_grad()
    def _follow(self, given: Tensor) -> None:
        low, high = given.aminmax()
        share = FOLLOWS * (self.seen < self.until)  # on the device: nobody waits
        self.low.lerp_(low, share.to(self.low))
        self.high.lerp_(high, share.to(self.high))
        self.seen += 1


class RoundedWeight(nn.Module):
    """Round to the extremes that the weight has now."""

    def __init__(self, axis: int | None):
        super().__init__()
        self.axis = axis
        """That of the output channels, of which each has a scale; None where one is for all."""

    def forward(self, weight: Tensor) -> Tensor:
        """Return the rounded weight."""
        given, bounds = weight.detach(), (WEIGHTS.least, WEIGHTS.most)
        if self.axis is None:
            scale, zero = WEIGHTS.steps(*given.aminmax())
            return torch.fake_quantize_per_tensor_affine(weight, scale, zero, *bounds)
        rows = given.movedim(self.axis, 0).flatten(1)
        scale, zero = WEIGHTS.steps(rows.amin(-1), rows.amax(-1))
        return torch.fake_quantize_per_channel_affine(weight, scale, zero, self.axis, *bounds)


class Rounding(nn.Module):
    """The traced model with rounding in the place of every observer.

    It stays in eval mode but for the ranges, which follow the batches in training mode.
    """

    def __init__(self, seen: Observed, levels: Levels, *, until: int):
        super().__init__()
        self.graph: Any = seen.graph
        self.folded = dict(seen.folded)
        self.places = seen.activations()
        weights = {name: _rounded_weight(self.graph, name) for name in seen.weights().values()}
        values = {name: _rounded(self.graph, name, levels, until) for name in self.places.values()}
        own = {id(self.graph.get_submodule(n)): m for n, m in (weights | values).items()}
        for name, observer in [*self.graph._modules.items()]:  # one may have several names
            if id(observer) in own:
                setattr(self.graph, name, own[id(observer)])
        for parameter in self.graph.parameters():
            parameter.requires_grad_(True)

    def forward(self, *inputs: Tensor) -> Any:
        """Return what the model gives, rounded as its program rounds."""
        return self.graph(*inputs)

    def train(self, mode: bool = True) -> "Rounding":
        """Let the ranges follow what is seen, or not; the graph has no other mode."""
        self.training = mode
        for name in self.places.values():
            self.graph.get_submodule(name).train(mode)
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "Rounding":
        """Return a copy; torch warns of its own form of a graph when it is copied."""
        copied = Rounding.__new__(Rounding)
        memo[id(self)] = copied
        with quiet():
            copied.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return copied

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Return the ends of each activation's range by the name of its value."""
        rounded = {value: self.graph.get_submodule(name) for value, name in self.places.items()}
        return {value: (one.low.item(), one.high.item()) for value, one in rounded.items()}

    @torch.no_grad()
    def write_into(self, model: nn.Module) -> None:
        """Give a plain model the weights; a batch norm that was folded is left to add the bias.

        Folded once more it gives the same weights to the bit.
        """
        own = {**dict(self.graph.named_parameters()), **dict(self.graph.named_buffers())}
        for name, tensor in model.state_dict(keep_vars=True).items():
            if name in own:
                tensor.copy_(own[name])
        for weight, path in self.folded.items():
            _only_add(model.get_submodule(path), own.get(f"{weight}_bias"))


def _rounded_weight(graph: Any, name: str) -> RoundedWeight:
    """Return rounding along the axis of an observer: a transposed convolution's is the second."""
    return RoundedWeight(getattr(graph.get_submodule(name), "ch_axis", None))


def _rounded(graph: Any, name: str, levels: Levels, until: int) -> RoundedActivation:
    """Return rounding to the range that an observer found."""
    scale, zero = graph.get_submodule(name).calculate_qparams()
    low, high = ((end - zero) * scale for end in (levels.least, levels.most))
    return RoundedActivation(levels, float(low), float(high), until)


def _only_add(norm: Any, bias: Tensor | None) -> None:
    """Have a batch norm in eval mode do nothing but add a bias."""
    norm.running_mean.zero_()
    norm.running_var.fill_(_one_less(norm.eps))
    if norm.affine:
        norm.weight.fill_(1.0)
        norm.bias.zero_()
    if bias is not None:
        norm.running_mean.copy_(-bias)


def _one_less(eps: float) -> float:
    """Return the variance to which eps is added to give exactly 1 in single precision."""
    one, eps32 = np.float32(1), np.float32(eps)
    variance = one - eps32
    while variance + eps32 > one:
        variance = np.nextafter(variance, np.float32(0))
    while variance + eps32 < one:
        variance = np.nextafter(variance, one)
    return float(variance)
