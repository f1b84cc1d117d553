"""Weights set to zero where they stand: masks, which are the zeros themselves.

No kernel of the runtimes skips them, so such a model is smaller when it is compressed and as slow
as before.
"""

import zlib
from collections.abc import Collection, Mapping

from torch import Tensor, nn

MASKED = (nn.modules.conv._ConvNd, nn.Linear)


def maskable(model: nn.Module, exclude: Collection[str]) -> dict[str, Tensor]:
    """Return the weights of convolutions and linear layers by name, but those under `exclude`."""
    inside = {layer for path in exclude for layer in model.get_submodule(path).modules()}
    return {
        f"{name}.weight": layer.weight.detach()
        for name, layer in model.named_modules()
        if isinstance(layer, MASKED) and layer not in inside
    }


def masked(model: nn.Module, dense: nn.Module) -> list[str]:
    """Return the parameters of `model` in which weights of the same dense model became zero."""
    before: Mapping[str, Tensor] = dict(dense.named_parameters())
    after = {n: p for n, p in model.named_parameters() if n in before}
    return [
        name
        for name, tensor in after.items()
        if tensor.shape == before[name].shape and bool(((tensor == 0) & (before[name] != 0)).any())
    ]


def with_zeros(model: nn.Module) -> list[str]:
    """Return the weights of convolutions and linear layers that hold zeros, by name."""
    return sorted(name for name, weight in maskable(model, ()).items() if (weight == 0).any())


def zeros(model: nn.Module) -> float:
    """Return the share of zeros in the weights of convolutions and linear layers."""
    weights = maskable(model, ())
    count = sum(weight.numel() for weight in weights.values())
    return sum(int((weight == 0).sum()) for weight in weights.values()) / max(1, count)


def compressed_bytes(model: nn.Module) -> int:
    """Return what a model's parameters and buffers take when zlib has compressed them."""
    state = model.state_dict().values()
    return sum(len(zlib.compress(t.cpu().contiguous().numpy().tobytes())) for t in state)
