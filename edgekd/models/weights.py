"""Weights into a module: exactly its own, or those of a narrower copy of it."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

Shapes = Mapping[str, tuple[int, ...]]


def shapes_in(file: Path) -> Shapes:
    """Return the shapes in a .safetensors file, by name; no tensor is read.

    SafetensorError where it is something else.
    """
    with safe_open(file, framework="pt") as opened:
        return {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118


def shapes_of(state: Mapping[str, Tensor]) -> Shapes:
    """Return the shapes of tensors, by name."""
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def first_misfit(found: Shapes, wanted: Shapes) -> str:
    """Return what is the first to differ, for people; nothing where names and shapes are equal."""
    for name, shape in wanted.items():
        if name not in found:
            return f"'{name}' {list(shape)} is missing"
        if found[name] != shape:
            return f"'{name}' is {list(found[name])}, not {list(shape)}"
    strange = next((name for name in found if name not in wanted), None)
    return f"'{strange}' {list(found[strange])} is too much" if strange is not None else ""


def load_resized(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load `state`, first giving each layer the width that its weights have.

    Structured pruning changes widths and nothing else, so a pruned model is its definition and
    the shapes of its weights. RuntimeError where names or ranks differ.
    """
    fresh: dict[int, nn.Parameter] = {}
    for name, layer in module.named_modules():
        own = [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]
        resized = False
        for key, tensor in own:
            stored = state.get(f"{name}.{key}" if name else key)
            if stored is None or stored.shape == tensor.shape or stored.ndim != tensor.ndim:
                continue
            empty = torch.empty(stored.shape, dtype=tensor.dtype)
            if isinstance(tensor, nn.Parameter):  # one that is shared stays shared
                parameter = nn.Parameter(empty, tensor.requires_grad)
                setattr(layer, key, fresh.setdefault(id(tensor), parameter))
            else:
                setattr(layer, key, empty)
            resized = True
        if resized:
            _adopt_widths(layer)
    module.load_state_dict(dict(state))


def _adopt_widths(layer: nn.Module) -> None:
    """Make the attributes of a resized layer say what its tensors are."""
    if isinstance(layer, nn.modules.conv._ConvNd):
        _adopt_channels(layer)
    elif isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = layer.weight.shape
    elif isinstance(layer, nn.Embedding):
        layer.num_embeddings, layer.embedding_dim = layer.weight.shape
    elif isinstance(layer, nn.modules.batchnorm._NormBase):
        layer.num_features = _length(layer.weight, layer.running_mean)
    elif isinstance(layer, nn.GroupNorm):
        layer.num_channels = _length(layer.weight)
    elif isinstance(layer, nn.LayerNorm | nn.RMSNorm):
        layer.normalized_shape = tuple(layer.weight.shape)


def _adopt_channels(layer: nn.modules.conv._ConvNd) -> None:
    """Set the channels of a convolution, and the groups of a depthwise one, which stays so."""
    depthwise = layer.groups == layer.in_channels and layer.groups > 1
    ratio = layer.out_channels // layer.in_channels
    first, second = layer.weight.shape[:2]
    if layer.transposed:
        layer.in_channels = first
        layer.groups = first if depthwise else layer.groups
        layer.out_channels = second * layer.groups
        return
    layer.out_channels = first
    layer.groups = first // ratio if depthwise else layer.groups
    layer.in_channels = second * layer.groups


def _length(*tensors: Tensor | None) -> int:
    """Return the length of the first tensor that there is."""
    return next(len(tensor) for tensor in tensors if tensor is not None)
