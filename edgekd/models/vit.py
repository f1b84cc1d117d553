"""Vision transformer: a token for every patch of a picture and one for the class.

Pre-norm blocks, learned places and a linear head. Taps: `patches` (a token for every patch, with
its place), `blocks.0` and on (the class token before those of the patches), `norm` (the last norm),
`head`. Its patches can be hidden: augmentation `patch_mask`. The transform `channels` narrows its
perceptrons alone, with `exclude: [patches, blocks.0.attention, ...]`: attention and the sums of
blocks read fixed widths.
"""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import model_validator
from torch import Tensor, nn

from edgekd.core.config import Config, Positive, PositiveCount
from edgekd.core.kinds import model
from edgekd.core.registry import Paper
from edgekd.core.signature import Signature
from edgekd.ops.transformer import Block, PatchEmbedding, token

PAPER = Paper(
    "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale",
    "2010.11929",
    "section 3.1",
)
HEAD_SPREAD = 0.02
"""Of the head's fresh weights: small, so that what was learned before it is not shaken at once."""
Image = Float[Tensor, "batch channels height width"]


class ViT(Config):
    """Size of the network; the defaults are those of ViT-Tiny, for pictures of 224 x 224."""

    width: PositiveCount = 192
    """Numbers of a token, a multiple of `heads`."""
    depth: PositiveCount = 12
    """Blocks."""
    heads: PositiveCount = 3
    """Heads of attention in each block."""
    patch: PositiveCount = 16
    """Pixels on each side of a patch; the picture is a whole number of them high and wide."""
    mlp_ratio: Positive = 4.0
    """Hidden width of a block's perceptron, over `width`."""

    pool: Literal["mean", "class"] = "mean"
    """What the head reads of the normed tokens: the mean of those of the patches, as masked
    auto-encoders are fine-tuned, or that of the class."""

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> "ViT":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} cannot be shared out to {self.heads} heads")
        if round(self.mlp_ratio * self.width) < 1:
            raise ValueError(f"mlp_ratio {self.mlp_ratio} leaves the perceptron nothing")
        return self


@model(config=ViT, paper=PAPER)
def vit(config: ViT, signature: Signature) -> nn.Module:
    """Return the network for the signature's image and number of classes.

    ValueError where the task has no one image, or its picture is not made of whole patches.
    """
    image, logits = signature.inputs[0], signature.outputs[0]
    if len(signature.inputs) != 1 or len(image.shape) != 4:
        raise ValueError("vit takes one image, and this task gives other inputs")
    channels, height, width = (int(size) for size in image.shape[1:])
    if height % config.patch or width % config.patch:
        raise ValueError(
            f"pictures of {height} x {width} are not made of whole patches of {config.patch} pixels"
        )
    grid = (height // config.patch, width // config.patch)
    return Network(config, channels, grid, int(logits.shape[-1]))


class Network(nn.Module):
    """Patches, class token, blocks, norm, head."""

    def __init__(self, config: ViT, channels: int, grid: tuple[int, int], classes: int):
        super().__init__()
        width, self.pool = config.width, config.pool
        self.patches = PatchEmbedding(channels, grid, config.patch, width)
        self.class_token = token(width)
        self.blocks = nn.Sequential(
            *(Block(width, config.heads, config.mlp_ratio) for _ in range(config.depth))
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)
        nn.init.normal_(self.head.weight, std=HEAD_SPREAD)
        nn.init.zeros_(self.head.bias)

    def forward(self, image: Image) -> Float[Tensor, "batch classes"]:
        """Return the scores of the classes."""
        patches = self.patches(image)
        tokens = torch.cat((self.class_token.expand(patches.shape[0], -1, -1), patches), 1)
        seen = self.norm(self.blocks(tokens))
        scores: Tensor = self.head(seen[:, 1:].mean(1) if self.pool == "mean" else seen[:, 0])
        return scores
