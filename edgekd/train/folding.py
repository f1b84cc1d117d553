"""A model in eval mode with its batch norms inside the convolutions before them."""

import copy
from collections import Counter
from collections.abc import Collection
from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def folded(model: nn.Module, taps: Collection[str] = ()) -> nn.Module:
    """Return the model with fewer passes over its activations; the same numbers but for rounding.

    Only where a batch norm follows its convolution in a plain `nn.Sequential`, both are used once,
    and nobody taps or hooks them. What is not folded shares its weights with the model, which
    stays as it is; where nothing can be folded the model itself comes back.
    """
    pairs = _pairs(model, taps)
    if not pairs:
        return model
    tensors = [*model.parameters(), *model.buffers()]
    own = copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
    for path, first, second in pairs:
        sequence = own.get_submodule(path)
        conv, norm = (sequence.get_submodule(name) for name in (first, second))
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        sequence.register_module(first, fuse_conv_bn_eval(conv, norm))
        sequence.register_module(second, nn.Identity())
    return own


def _pairs(model: nn.Module, taps: Collection[str]) -> list[tuple[str, str, str]]:
    """Return the sequence and the two names of each convolution whose norm can be folded."""
    uses = Counter(id(module) for _, module in model.named_modules(remove_duplicate=False))
    found = []
    for path, sequence in model.named_modules():
        if type(sequence).forward is not nn.Sequential.forward:
            continue
        children = list(sequence.named_children())
        for (first, conv), (second, norm) in pairwise(children):
            paths = {f"{path}.{name}".lstrip(".") for name in (first, second)}
            alone = all(uses[id(module)] == 1 and not _hooked(module) for module in (conv, norm))
            if _foldable(conv, norm) and alone and not paths & {*taps}:
                found.append((path, first, second))
    return found


def _foldable(conv: nn.Module, norm: nn.Module) -> bool:
    return type(conv) is nn.Conv2d and type(norm) is nn.BatchNorm2d and norm.track_running_stats


def _hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)
