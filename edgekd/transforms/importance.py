"""What is worth keeping: what the examples say of a model, and the scores made of it."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from edgekd.core.errors import StageError
from edgekd.core.protocols.values import Batch
from edgekd.core.signature import Signature
from edgekd.ops.named import call_by_name

Kind = Literal["norm", "taylor", "activation", "batch_norm"]
Evidence = Mapping[str, Tensor]
"""Of `taylor` the gradients by parameter; of `activation` the products by module."""
READERS = (nn.modules.conv._ConvNd, nn.Linear)
"""Layers that mix the channels they read."""
Scorer = Callable[[Any], Tensor | None]
"""Takes a group of torch-pruning; returns one score for each of its channels."""


def evidence(
    kind: Kind, model: nn.Module, signature: Signature, batches: Sequence[Batch]
) -> Evidence:
    """Return what the examples say; nothing where a kind looks at weights alone.

    StageError where it needs scores and labels that are not there.
    """
    if kind == "taylor":
        return gradients(model, signature, batches)
    return products(model, signature, batches) if kind == "activation" else {}


def scorer(kind: Kind, model: nn.Module, found: Evidence) -> Scorer:
    """Return what scores the groups of `model`, a copy of the one that the evidence is of."""
    import torch_pruning as tp

    if kind == "activation":
        layers = {model.get_submodule(name): product for name, product in found.items()}
        return partial(_first_order, layers)
    for name, parameter in model.named_parameters():
        parameter.grad = found.get(name)
    made: Scorer = {
        "norm": tp.importance.GroupMagnitudeImportance,
        "taylor": tp.importance.GroupTaylorImportance,
        "batch_norm": partial(tp.importance.BNScaleImportance, normalizer=None),
    }[kind]()
    return made


def gradients(model: nn.Module, signature: Signature, batches: Sequence[Batch]) -> Evidence:
    """Return the gradient of the cross-entropy, by parameter, summed over the batches."""
    model.zero_grad()
    for batch in batches:
        backward("taylor", model, signature, batch)
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def products(model: nn.Module, signature: Signature, batches: Sequence[Batch]) -> Evidence:
    """Return activation times gradient at what each mixing layer reads, by module.

    [examples, channels]: summed over positions, and over the calls of a layer. Its negative is, to
    first order, by how much an example's cross-entropy changes when the layer no longer reads a
    channel.
    """
    parts: dict[str, list[Tensor]] = defaultdict(list)
    for batch in batches:
        with _watched(model) as seen:
            backward("activation", model, signature, batch)
        for name, calls in seen.items():
            parts[name].append(torch.stack(calls).sum(0))
    model.zero_grad()
    return {name: torch.cat(columns) for name, columns in parts.items()}


def backward(kind: str, model: nn.Module, signature: Signature, batch: Batch) -> None:
    """Add the gradient of a batch's summed cross-entropy to the parameters'."""
    if "logits" not in [port.name for port in signature.outputs] or "labels" not in batch:
        raise StageError(
            f"importance: {kind} needs an output 'logits' and examples with 'labels'.",
            "Use importance: norm.",
        )
    logits = call_by_name(model, signature, batch)["logits"]
    loss = nn.functional.cross_entropy(logits, batch["labels"], reduction="sum")
    torch.autograd.backward(loss)


@contextmanager
def _watched(model: nn.Module) -> Iterator[dict[str, list[Tensor]]]:
    """Give the products of each reader's calls, which are there once a loss was run backward."""
    seen: dict[str, list[Tensor]] = defaultdict(list)

    def watch(name: str, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        given = inputs[0]
        if given.requires_grad:
            kept = given.detach()

            def hear(grad: Tensor) -> None:
                seen[name].append(_by_channel(layer, kept * grad))

            given.register_hook(hear)  # type: ignore[no-untyped-call]

    hooks = [
        layer.register_forward_pre_hook(partial(watch, name))
        for name, layer in model.named_modules()
        if isinstance(layer, READERS)
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def _by_channel(layer: nn.Module, values: Tensor) -> Tensor:
    """Return [examples, channels], summed over positions."""
    if isinstance(layer, nn.Linear):
        return values.reshape(len(values), -1, values.shape[-1]).sum(1)
    return values.flatten(2).sum(2)


def _first_order(layers: Mapping[nn.Module, Tensor], group: Any) -> Tensor | None:
    """Return the mean over examples of the squared first-order change, by channel of the group.

    Where several layers read a channel their changes add up first: they lose it together.
    """
    total: Tensor | None = None
    for index, (dependency, places) in enumerate(group):
        layer, roots = dependency.target.module, group[index].root_idxs
        reads = dependency.handler.__name__ == "prune_in_channels"
        if not reads or layer not in layers or None in roots:
            continue
        read = layers[layer][:, places]
        if total is None:
            total = read.new_zeros(len(read), len(group[0].idxs))
        total.index_add_(1, torch.tensor(roots), read)
    return None if total is None else total.square().mean(0)
