"""Cutting channels together with all that depends on them, by torch-pruning's graph."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.transforms.importance import Scorer
from edgekd.transforms.widths import Amount, goes


def cut(
    model: nn.Module,
    example: tuple[Tensor, ...],
    fixed: Sequence[nn.Module],
    scorer: Scorer,
    amount: Amount,
    own: Mapping[nn.Module, float],
) -> list[str]:
    """Remove channels in place, wherever no layer of `fixed` would change its output width.

    `own` gives ratios to some layers, and to all that must stay as wide as they are. Return the
    layers whose channels have no score, and which therefore stay as wide as they are.
    """
    import torch_pruning as tp

    graph = tp.DependencyGraph().build_dependency(model, example_inputs=example)
    kept_whole = [layer for module in fixed for layer in module.modules()]
    groups = [(g, scorer(g)) for g in graph.get_all_groups(ignored_layers=kept_whole)]
    scored = [(group, score) for group, score in groups if score is not None]
    blocks = [_blocks(group) for group, _ in scored]
    scores = [
        score.detach().float().view(block, -1).mean(0)
        for (_, score), block in zip(scored, blocks, strict=True)
    ]
    ratios = [_own(group, own) for group, _ in scored]
    for (group, _), block, score, gone in zip(
        scored, blocks, scores, goes(scores, blocks, amount, ratios), strict=True
    ):
        if len(gone):
            everywhere = torch.cat([gone + index * len(score) for index in range(block)])
            root = group[0].dep
            graph.get_pruning_group(root.target.module, root.handler, everywhere.tolist()).prune()
    names = {module: name for name, module in model.named_modules()}
    roots = [group[0].dep.target.module for group, score in groups if score is None]
    return [names[module] for module in roots if module in names]


def _own(group: Any, own: Mapping[nn.Module, float]) -> float | None:
    """Return the ratio of the group's own; the largest where its layers have several."""
    writers = [d.target.module for d, _ in group if d.handler.__name__ == "prune_out_channels"]
    return max((own[module] for module in writers if module in own), default=None)


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
