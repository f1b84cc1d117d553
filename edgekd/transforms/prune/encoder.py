"""Attention heads, inner widths and whole layers of a transformers encoder, removed.

Works on encoders of transformers whose layers are alike: BERT, DistilBERT, ViT, DeiT and their
kin. What is left is a smaller dense model whose configuration says what it is. Training the
accuracy back is a later `distill` stage's work.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

from pydantic import Field, model_validator
from torch import nn

from edgekd.core.config import PositiveCount, Share
from edgekd.core.kinds import transform
from edgekd.core.protocols.values import Batch
from edgekd.core.registry import Paper
from edgekd.core.signature import Signature
from edgekd.transforms.blocks import Block, blocks_of, keep_layers, narrow, take_heads
from edgekd.transforms.budget import HowMuch, check_most, how_much
from edgekd.transforms.encoder_ratios import check_names_parts, own_ratios
from edgekd.transforms.encoder_scores import Scores, score
from edgekd.transforms.in_steps import Cuts, Removal
from edgekd.transforms.paths import check_paths
from edgekd.transforms.widths import Amount, goes

PAPER = Paper("Are Sixteen Heads Really Better than One?", "1905.10650", "its gates on heads")
Part = Literal["heads", "ffn", "layers"]


class Encoder(HowMuch):
    """Which parts lose how much; a budget takes the same share of each part."""

    parts: tuple[Part, ...] = Field(default=("heads", "ffn"), min_length=1)
    """What goes: attention heads, channels between the two linear layers, whole layers."""
    importance: Literal["norm", "taylor", "activation"] = "activation"
    """Order of what goes: by the `norm` of its weights (of a layer: how much it changes what it is
    given); by the first-order change of the cross-entropy when its weights go (`taylor`) or when
    nothing reads it (`activation`, times its gradient), taken on examples with labels."""
    scope: Literal["layer", "global"] = "layer"
    """The same ratio in each layer, or one ranking over all layers."""
    round_to: PositiveCount = 8
    """Widths between linear layers stay multiples of this number."""
    ratios: Mapping[str, Share] = Field(default_factory=dict)
    """Ratios of their own for some layers, by module path, whatever goes elsewhere: for a layer of
    the encoder, or only its heads (path of its attention or a module inside it) or its inner width
    (path of the linear layer that widens or the one that narrows)."""

    @model_validator(mode="after")
    def _own_within_most(self) -> "Encoder":
        check_most(self.ratios, self.max_ratio)
        return self


@dataclass(frozen=True)
class _Dense:
    """A model to cut, with what the examples say of it."""

    config: Encoder
    model: nn.Module
    blocks: Sequence[Block]
    found: Scores
    before: Removal
    """What is zero already, and goes in any case."""


LAYERS = "layers"
"""What the layers that go are listed under; heads under the path of what reads them, inner
channels under the path of what makes them."""


def choose(
    config: Encoder,
    model: nn.Module,
    *,
    signature: Signature,
    batches: Sequence[Batch],
    share: float,
    before: Removal,
) -> Removal:
    """Return the heads and inner channels that go at a share of the way.

    That is a share of the ratio; where there is a budget, of the ratio that keeps it now.
    """
    dense = _dense(config, model, signature, batches, before)
    ratio = _ratio(dense, signature, batches)
    return {} if ratio is None else _gone(dense, ratio * share, share)


def cut_out(
    config: Encoder,  # noqa: ARG001
    model: nn.Module,
    removal: Removal,
    *,
    signature: Signature,  # noqa: ARG001
    batches: Sequence[Batch],  # noqa: ARG001
    ready: Callable[[nn.Module], None] = lambda model: None,  # noqa: ARG005
) -> nn.Module:
    """Return a copy of the model without what `choose` found."""
    blocks, narrower = blocks_of(model), copy.deepcopy(model)
    ready(narrower)
    _take(narrower, blocks, removal)
    return narrower


def refuses(config: Encoder) -> str:
    """Return why the options cannot be followed in steps."""
    if LAYERS in config.parts:
        return "a layer whose weights are zero is not the same as a layer that is gone"
    return ""


@transform(
    config=Encoder,
    paper=PAPER,
    purpose="prune",
    distributions=("transformers",),
    in_steps=Cuts(choose, cut_out, refuses),
)
def encoder(
    config: Encoder, model: nn.Module, *, signature: Signature, batches: Sequence[Batch]
) -> nn.Module:
    """Return a copy of the model without the least important of the parts.

    StageError where there is no such encoder in the model, or a budget cannot be reached,
    RequestError where `ratios` names nothing that has heads or inner channels to lose.
    """
    dense = _dense(config, model, signature, batches)
    ratio = _ratio(dense, signature, batches)
    return dense.model if ratio is None else _without(dense, _gone(dense, ratio))


def _dense(
    config: Encoder,
    model: nn.Module,
    signature: Signature,
    batches: Sequence[Batch],
    before: Removal | None = None,
) -> _Dense:
    """Return a copy of the model, ready to be cut."""
    check_paths(config.ratios, model, "ratios")
    dense = copy.deepcopy(model).eval()
    for parameter in dense.parameters():  # a frozen model is pruned like any other
        parameter.requires_grad_(True)
    blocks = blocks_of(dense)
    check_names_parts(config.ratios, config.parts, blocks)
    found = score(config.importance, config.parts, dense, blocks, signature, batches)
    return _Dense(config, dense, blocks, found, before or {})


def _ratio(dense: _Dense, signature: Signature, batches: Sequence[Batch]) -> float | None:
    """Return the ratio to take; None where nothing has to go."""
    return how_much(
        dense.config,
        dense.model,
        lambda ratio: _without(dense, _gone(dense, ratio)),
        anyway=bool(dense.config.ratios or dense.before),
        signature=signature,
        batch={port.name: batches[0][port.name][:2] for port in signature.inputs},
    )


def _gone(dense: _Dense, ratio: float, share: float = 1.0) -> Removal:
    """Return what goes at a ratio: layers first, so that what is ranked is what stays.

    Layers with ratios of their own lose a share of those.
    """
    config, blocks, found = dense.config, dense.blocks, dense.found
    amount = Amount(ratio, config.scope == "global", 1, config.max_ratio)
    gone: dict[str, Sequence[int]] = {}
    if LAYERS in config.parts:
        gone[LAYERS] = goes([found.layers], [1], amount)[0].tolist()
    kept = [index for index in range(len(blocks)) if index not in gone.get(LAYERS, ())]
    left = [blocks[index] for index in kept]
    if "heads" in config.parts:
        own = own_ratios(config.ratios, "heads", left, share)
        was = [
            [block.heads.index(head) for head in dense.before.get(block.attention_out, ())]
            for block in left
        ]
        chosen = goes([found.heads[i] for i in kept], [1] * len(kept), amount, own, was)
        for block, places in zip(left, chosen, strict=True):
            gone[block.attention_out] = [block.heads[place] for place in places.tolist()]
    if "ffn" in config.parts:
        own = own_ratios(config.ratios, "ffn", left, share)
        was = [[*dense.before.get(_inner(block), ())] for block in left]
        stepped = replace(amount, round_to=config.round_to)
        chosen = goes([found.ffn[i] for i in kept], [1] * len(kept), stepped, own, was)
        gone |= {_inner(block): p.tolist() for block, p in zip(left, chosen, strict=True)}
    return {name: numbers for name, numbers in gone.items() if numbers}


def _inner(block: Block) -> str:
    assert block.ffn is not None
    return block.ffn[0]


def _without(dense: _Dense, gone: Removal) -> nn.Module:
    """Return a copy of the model without that."""
    pruned = copy.deepcopy(dense.model)
    _take(pruned, dense.blocks, gone)
    return pruned


def _take(model: nn.Module, blocks: Sequence[Block], gone: Removal) -> None:
    """Take that away, in place."""
    take_heads(model, [gone.get(block.attention_out, ()) for block in blocks])
    for block in blocks:
        if block.ffn and (channels := gone.get(block.ffn[0])):
            width = cast(nn.Linear, model.get_submodule(block.ffn[0])).out_features
            narrow(model, block, sorted({*range(width)} - {*channels}))
    if layers := gone.get(LAYERS):
        keep_layers(model, [index for index in range(len(blocks)) if index not in layers])
