"""What the parts of an encoder are worth: one score for each head, inner channel and layer."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from edgekd.core.errors import StageError
from edgekd.core.protocols.values import Batch
from edgekd.core.signature import Signature
from edgekd.ops.named import call_by_name
from edgekd.transforms.blocks import Block
from edgekd.transforms.importance import Evidence, backward, evidence

By = Literal["norm", "taylor", "activation"]
See = Callable[[int, Tensor, Tensor], None]
"""Takes the number of a layer, what it is given and what it gives."""


@dataclass(frozen=True)
class Scores:
    """Scores by layer; none where nobody asked for them."""

    heads: Sequence[Tensor]
    ffn: Sequence[Tensor]
    layers: Tensor


def score(
    by: By,
    parts: Collection[str],
    model: nn.Module,
    blocks: Sequence[Block],
    signature: Signature,
    batches: Sequence[Batch],
) -> Scores:
    """Return the scores of the parts that are asked for; StageError where they cannot be told."""
    inner = {*parts} & {"heads", "ffn"}
    worth = partial(_worth, by, model, evidence(by, model, signature, batches) if inner else {})
    return Scores(
        heads=[worth(block.attention_in, block.attention_out, block.head_size) for block in blocks]
        if "heads" in parts
        else [],
        ffn=[worth((wide,), back, 1) for wide, back in map(_ffn, blocks)] if "ffn" in parts else [],
        layers=_layers(by, model, blocks, signature, batches)
        if "layers" in parts
        else torch.zeros(0),
    )


def _ffn(block: Block) -> tuple[str, str]:
    if block.ffn is None:
        raise StageError(
            f"'{block.path}' widens and narrows by something else than two linear layers.",
            "Leave ffn out of parts.",
        )
    return block.ffn


def _worth(
    by: By, model: nn.Module, found: Evidence, writers: Sequence[str], reader: str, size: int
) -> Tensor:
    """Return the scores of units of `size` channels, which some layers write and one reads."""
    if by == "activation":
        read = found[reader]
        return read.view(len(read), -1, size).sum(2).square().mean(0)

    def along(name: str, axis: int) -> Tensor:
        weight = cast(nn.Linear, model.get_submodule(name)).weight.detach()
        if by == "norm":
            return weight.square().sum(axis)
        return (weight * found[f"{name}.weight"]).sum(axis).abs()

    total = along(reader, 0) + torch.stack([along(name, 1) for name in writers]).sum(0)
    return total.view(-1, size).sum(1)


def _layers(
    by: By,
    model: nn.Module,
    blocks: Sequence[Block],
    signature: Signature,
    batches: Sequence[Batch],
) -> Tensor:
    """Return what each layer as a whole does.

    To first order, the mean squared change of the loss when it hands on what it is given; of
    `norm`, the mean size of what it adds against what it is given.
    """
    seen: list[list[Tensor]] = [[] for _ in blocks]

    def added(index: int, given: Tensor, made: Tensor) -> None:
        change, size = ((t.flatten(1).norm(dim=1)) for t in (made - given, given))
        seen[index].append(change / size)

    def lost(index: int, given: Tensor, made: Tensor) -> None:
        change = (given - made).detach()

        def hear(grad: Tensor) -> None:
            seen[index].append((change * grad).flatten(1).sum(1))

        made.register_hook(hear)  # type: ignore[no-untyped-call]

    with _watched(model, blocks, added if by == "norm" else lost):
        for batch in batches:
            if by == "norm":
                with torch.no_grad():
                    call_by_name(model, signature, batch)
            else:
                backward(by, model, signature, batch)
    model.zero_grad()
    columns = [torch.cat(parts) for parts in seen]
    return torch.stack([c.mean() if by == "norm" else c.square().mean() for c in columns])


@contextmanager
def _watched(model: nn.Module, blocks: Sequence[Block], see: See) -> Iterator[None]:
    """Show what each layer is given and gives."""

    def look(index: int, _: nn.Module, given: tuple[Any, ...], made: object) -> None:
        outputs = made if isinstance(made, tuple) else (made,)
        shape = given[0].shape
        see(index, given[0], next(t for t in outputs if getattr(t, "shape", None) == shape))

    hooks = [
        model.get_submodule(block.path).register_forward_hook(partial(look, index))
        for index, block in enumerate(blocks)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
