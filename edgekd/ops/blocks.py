"""The blocks that a network is a sequence of."""

from collections.abc import Iterator

from torch import nn


def blocks_of(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the blocks of a network, in its order; none where it is a plain sequence of layers.

    They are the innermost modules with parts and weights of their own that stand in a sequence or a
    list: a residual block, a transformer's layer.
    """
    listed = isinstance(module, nn.Sequential | nn.ModuleList)
    for child in module.children():
        inner = [*blocks_of(child)]
        yield from inner
        composed = any(True for _ in child.children()) and any(True for _ in child.parameters())
        if listed and composed and not inner:
            yield child
