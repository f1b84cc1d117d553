"""Where a model keeps its weights: by the kinds of layer that quantization tells apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Layers:
    """The layers of one kind."""

    paths: tuple[str, ...]
    weights: int
    """How many numbers they hold together, biases not counted."""


def layers_of(
    model: nn.Module, kinds: type[nn.Module] | tuple[type[nn.Module], ...], outside: Sequence[str]
) -> Layers:
    """Return the layers of some kinds that lie in none of the modules at the paths `outside`."""
    found = {
        path: module
        for path, module in model.named_modules()
        if isinstance(module, kinds) and not lies_in(path, outside)
    }
    sizes = [cast(Tensor, layer.weight).numel() for layer in found.values()]
    return Layers(tuple(found), sum(sizes))


def lies_in(path: str, modules: Sequence[str]) -> bool:
    """Tell whether a module path is one of the modules, or below one of them."""
    return any(path == module or path.startswith(f"{module}.") for module in modules)
