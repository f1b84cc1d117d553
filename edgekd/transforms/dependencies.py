"""Cutting channels together with all that depends on them, by torch-pruning's graph."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.transforms.importance import Scorer
from edgekd.transforms.in_steps import Removal
from edgekd.transforms.widths import Amount, goes


@dataclass(frozen=True)
class Cut:
    """What was cut."""

    gone: Removal
    """Channels by the path of the layer that writes them, the first of those that lose them."""
    unscored: Sequence[str]
    """Layers whose channels have no score, and which therefore stay as wide as they are."""


def cut(
    model: nn.Module,
    example: tuple[Tensor, ...],
    fixed: Sequence[nn.Module],
    scorer: Scorer,
    amount: Amount,
    own: Mapping[nn.Module, float],
    before: Removal,
) -> Cut:
    """Remove channels in place, wherever no layer of `fixed` would change its output width.

    `own` gives ratios to some layers, and to all that must stay as wide as they are. What is in
    `before` goes first, and all of it goes.
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
    names = {module: name for name, module in model.named_modules()}
    paths = [names[group[0].dep.target.module] for group, _ in scored]
    was = [
        sorted({channel % len(score) for channel in before.get(path, ())})
        for path, score in zip(paths, scores, strict=True)
    ]
    found: dict[str, list[int]] = {}
    for (group, _), path, block, score, gone in zip(
        scored, paths, blocks, scores, goes(scores, blocks, amount, ratios, was), strict=True
    ):
        if len(gone):
            everywhere = torch.cat([gone + index * len(score) for index in range(block)]).tolist()
            root = group[0].dep
            graph.get_pruning_group(root.target.module, root.handler, everywhere).prune()
            found[path] = everywhere
    roots = [group[0].dep.target.module for group, score in groups if score is None]
    return Cut(found, [names[module] for module in roots if module in names])


def cut_again(
    model: nn.Module,
    example: tuple[Tensor, ...],
    gone: Removal,
    ready: Callable[[nn.Module], None],
) -> None:
    """Remove the channels that another cut of the same model found, in place."""
    import torch_pruning as tp

    graph = tp.DependencyGraph().build_dependency(model, example_inputs=example)
    ready(model)
    for path, channels in gone.items():
        layer = model.get_submodule(path)
        handler = graph.get_pruner_of_module(layer).prune_out_channels
        graph.get_pruning_group(layer, handler, [*channels]).prune()


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
