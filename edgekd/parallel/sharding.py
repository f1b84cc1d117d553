"""A model of which every process holds a part of each weight."""

from torch import nn

from edgekd.ops.blocks import blocks_of
from edgekd.parallel.group import group


def sharded(model: nn.Module, device: str) -> nn.Module:
    """Return the model with its weights divided among all processes, itself where there is one.

    A block's weights are put together for its forward pass and let go after it (FSDP2, Zhao et al.
    2023); so all processes must call the model equally often.
    """
    if group().alone:
        return model
    from torch.distributed.device_mesh import init_device_mesh  # each takes time to import
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device, (group().size,))
    for block in blocks_of(model):
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh, reshard_after_forward=True)  # no gradient will ask for them
    return model
