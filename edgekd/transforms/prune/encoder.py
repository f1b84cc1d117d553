"""Attention heads, inner widths and whole layers of a transformers encoder, removed.

Works on encoders of transformers whose layers are alike: BERT, DistilBERT, ViT, DeiT and their
kin. What is left is a smaller dense model whose configuration says what it is. Training the
accuracy back is a later `distill` stage's work.
"""

import copy
from collections.abc import Sequence
from typing import Literal

from pydantic import Field
from torch import nn

from edgekd.core.config import PositiveCount
from edgekd.core.kinds import transform
from edgekd.core.protocols import Batch
from edgekd.core.registry import Paper
from edgekd.core.signature import Signature
from edgekd.transforms.blocks import Block, blocks_of, keep_layers, narrow, take_heads
from edgekd.transforms.budget import HowMuch, so_much
from edgekd.transforms.encoder_scores import Scores, score
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


@transform(config=Encoder, paper=PAPER, purpose="prune", distributions=("transformers",))
def encoder(
    config: Encoder, model: nn.Module, *, signature: Signature, batches: Sequence[Batch]
) -> nn.Module:
    """Return a copy of the model without the least important of the parts.

    StageError where there is no such encoder in the model, or a budget cannot be reached.
    """
    dense = copy.deepcopy(model).eval()
    for parameter in dense.parameters():  # a frozen model is pruned like any other
        parameter.requires_grad_(True)
    blocks = blocks_of(dense)
    found = score(config.importance, config.parts, dense, blocks, signature, batches)

    def remove(ratio: float) -> nn.Module:
        pruned = copy.deepcopy(dense)
        _remove(config, pruned, blocks, found, ratio)
        return pruned

    one = {port.name: batches[0][port.name][:2] for port in signature.inputs}
    return so_much(config, dense, remove, signature=signature, batch=one)


def _remove(
    config: Encoder, model: nn.Module, blocks: Sequence[Block], found: Scores, ratio: float
) -> None:
    """Take the share away, in place: layers first, so that what is ranked is what stays."""
    over_all, most = config.scope == "global", config.max_ratio
    whole = Amount(ratio, over_all, 1, most)
    kept = [*range(len(blocks))]
    if "layers" in config.parts:
        gone = goes([found.layers], [1], whole)[0].tolist()
        kept = [index for index in kept if index not in gone]
    if "heads" in config.parts:
        heads: list[list[int]] = [[] for _ in blocks]
        chosen = goes([found.heads[index] for index in kept], [1] * len(kept), whole)
        for index, places in zip(kept, chosen, strict=True):
            heads[index] = [blocks[index].heads[place] for place in places]
        take_heads(model, heads)
    if "ffn" in config.parts:
        amount = Amount(ratio, over_all, config.round_to, most)
        scores = [found.ffn[index] for index in kept]
        for index, places in zip(kept, goes(scores, [1] * len(kept), amount), strict=True):
            stays = sorted({*range(len(found.ffn[index]))} - {*places.tolist()})
            narrow(model, blocks[index], stays)
    if len(kept) < len(blocks):
        keep_layers(model, kept)
