"""Which layers give a model's outputs: their width is the model's promise and must stay."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from edgekd.core.signature import Signature
from edgekd.ops.named import call_by_name

MIXING = (nn.modules.conv._ConvNd, nn.Linear, nn.Embedding, nn.LSTM, nn.GRU)
"""Layers that make new channels; all others hand on the channels they get."""


def output_layers(
    model: nn.Module, signature: Signature, batch: Mapping[str, Tensor]
) -> list[nn.Module]:
    """Return the mixing layers whose channels reach an output with no other such layer between.

    The autograd graph is walked back from the outputs, so that sums, batch norms and pooling
    after the last layer are seen through, whatever forward() looks like.
    """
    made_by: dict[object, nn.Module] = {}

    def note(module: nn.Module, _: object, output: object) -> None:
        first = output[0] if isinstance(output, tuple) else output
        if isinstance(first, Tensor) and first.grad_fn is not None:
            made_by[first.grad_fn] = module

    hooks = [m.register_forward_hook(note) for m in model.modules() if isinstance(m, MIXING)]
    try:
        with torch.enable_grad():
            outputs = call_by_name(model, signature, batch)
    finally:
        for hook in hooks:
            hook.remove()
    return _walk_back([value.grad_fn for value in outputs.values()], made_by)


def _walk_back(starts: list[object], made_by: Mapping[object, nn.Module]) -> list[nn.Module]:
    found: dict[nn.Module, None] = {}
    seen: set[object] = set()
    queue = [node for node in starts if node is not None]
    while queue:
        node = queue.pop()
        if node in seen:
            continue
        seen.add(node)
        if node in made_by:
            found[made_by[node]] = None
            continue
        following = getattr(node, "next_functions", ())
        queue += [before for before, _ in following if before is not None]
    return list(found)
