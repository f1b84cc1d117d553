"""A model of which every process holds a part of each weight."""

from collections.abc import Iterator

from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from edgekd.parallel.group import group


def sharded(model: nn.Module, device: str) -> nn.Module:
    """Return the model with its weights divided among all processes, itself where there is one.

    A block's weights are put together for its forward pass and let go after it (FSDP2, Zhao et al.
    2023); so all processes must call the model equally often. The blocks are what a sequence or a
    list of modules holds.
    """
    if group().alone:
        return model
    mesh = init_device_mesh(device, (group().size,))
    for block in _blocks(model):
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the outermost blocks that have weights."""
    listed = isinstance(module, nn.Sequential | nn.ModuleList)
    for child in module.children():
        if listed and any(True for _ in child.parameters()):
            yield child
        else:
            yield from _blocks(child)
