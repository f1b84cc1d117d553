"""Copies of what is trained, one in each process, that learn the same in every step."""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from edgekd.core.protocols.values import Batch
from edgekd.parallel.group import group

Pass = Callable[[Batch, int], tuple[Tensor, dict[str, Tensor]]]
"""From a view of some examples to their loss, and the mean of each term."""


class Replica:
    """A forward pass after whose `backward` every process has the mean of all gradients.

    Buffers of a term are those of the first process; a network's batch norms see to their own.
    """

    def __init__(self, forward: Pass, networks: Collection[nn.Module], terms: nn.Module):
        self._forward = forward
        self._shared: DistributedDataParallel | None = None
        if not group().alone:
            self._shared = DistributedDataParallel(
                _Learning(forward, networks, terms),
                find_unused_parameters=True,  # a model may have weights that no output rests on
                forward_sync_buffers=next(terms.buffers(), None) is not None,
            )

    def __call__(self, batch: Batch, view: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a view of some examples, and the mean of each term."""
        called: Pass = self._shared or self._forward
        return called(batch, view)

    def gathering(self, part: int, parts: int) -> AbstractContextManager[None]:
        """Return the context of a part of a batch: gradients are shared with those of the last."""
        if self._shared is None or part == parts - 1:
            return nullcontext()
        held: AbstractContextManager[None] = self._shared.no_sync()
        return held


class _Learning(nn.Module):
    """All that learns as one module, whose call is the forward pass."""

    def __init__(self, forward: Pass, networks: Collection[nn.Module], terms: nn.Module):
        super().__init__()
        self.networks, self.terms, self._pass = nn.ModuleList(networks), terms, forward

    def forward(self, batch: Batch, view: int) -> tuple[Tensor, dict[str, Tensor]]:
        return self._pass(batch, view)
