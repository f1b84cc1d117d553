"""Activation checkpointing: what is inside a block is computed again for the gradient, not kept.

Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost", section 4.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from edgekd.ops.blocks import blocks_of


@contextmanager
def recomputing(model: nn.Module) -> Iterator[None]:
    """Let every block of a model keep nothing but its input for its gradient, for a while."""
    blocks = [*blocks_of(model)]
    for block in blocks:
        block.forward = partial(_forward, block, type(block).forward)
    try:
        yield
    finally:
        for block in blocks:
            del block.forward


def _forward(block: nn.Module, forward: Any, *inputs: Any, **named: Any) -> Any:
    call = partial(forward, block)
    if not torch.is_grad_enabled():
        return call(*inputs, **named)
    contexts = partial(_contexts, block)
    return checkpoint(call, *inputs, use_reentrant=False, context_fn=contexts, **named)


def _contexts(
    block: nn.Module,
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Return the contexts of the first and of the second time that a block is computed."""
    return nullcontext(), _seen_before(block)


@contextmanager
def _seen_before(block: nn.Module) -> Iterator[None]:
    """Keep the batch norms of a block from counting a batch twice."""
    norms = [part for part in block.modules() if isinstance(part, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0  # it still reads its averages: what is kept must be the same
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            if norm.training and norm.num_batches_tracked is not None:
                norm.num_batches_tracked.sub_(1)
