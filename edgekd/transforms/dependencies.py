"""Cutting channels together with all that depends on them, by torch-pruning's graph."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from edgekd.transforms.widths import Amount, goes


def cut(
    model: nn.Module,
    example: tuple[Tensor, ...],
    fixed: Sequence[nn.Module],
    importance: Literal["norm", "taylor"],
    amount: Amount,
) -> None:
    """Remove channels in place, wherever no layer of `fixed` would change its output width.

    `taylor` reads the gradients that lie at the parameters.
    """
    import torch_pruning as tp

    scorer = {
        "norm": tp.importance.GroupMagnitudeImportance,
        "taylor": tp.importance.GroupTaylorImportance,
    }[importance]()
    graph = tp.DependencyGraph().build_dependency(model, example_inputs=example)
    kept_whole = [layer for module in fixed for layer in module.modules()]
    scored = [
        (group, score)
        for group in graph.get_all_groups(ignored_layers=kept_whole)
        if (score := scorer(group)) is not None
    ]
    blocks = [_blocks(group) for group, _ in scored]
    scores = [
        score.detach().float().view(block, -1).mean(0)
        for (_, score), block in zip(scored, blocks, strict=True)
    ]
    for (group, _), block, score, gone in zip(
        scored, blocks, scores, goes(scores, blocks, amount), strict=True
    ):
        if len(gone):
            everywhere = torch.cat([gone + index * len(score) for index in range(block)])
            root = group[0].dep
            graph.get_pruning_group(root.target.module, root.handler, everywhere.tolist()).prune()


def _blocks(group: Any) -> int:
    """Return into how many equal blocks the group's channels fall.

    A depthwise convolution takes every channel for itself and asks for nothing.
    """
    found = 1
    for dependency, _ in group:
        layer = dependency.target.module
        if isinstance(layer, nn.GroupNorm):
            found = max(found, layer.num_groups)
        elif isinstance(layer, nn.Conv2d | nn.Conv1d) and layer.groups < layer.in_channels:
            found = max(found, layer.groups)
    return found
