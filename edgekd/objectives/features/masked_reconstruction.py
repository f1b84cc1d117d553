"""A masked auto-encoder: the pixels of hidden patches, from what a network makes of the visible.

For pre-training without labels, with augmentation `patch_mask`; tap the student's last norm, as
`tap: {student: norm}` of a `vit`. A token that is learned stands for each hidden patch, and a small
transformer, which is dropped at the end, predicts their pixels. What the network answers is not
taught: train it on labels then. Pixels are those that the networks see, normalised by the task.
Departs from the authors' code: places are learned.
"""

import torch
from jaxtyping import Float, Int64
from pydantic import model_validator
from torch import Tensor, nn

from edgekd.core.config import Config, Positive, PositiveCount
from edgekd.core.errors import StageError
from edgekd.core.kinds import objective
from edgekd.core.protocols.training import Setting
from edgekd.core.registry import Paper
from edgekd.ops.shapes import Features, PerExample
from edgekd.ops.transformer import Block, chosen, linear, patches_of, places_of, token

PAPER = Paper("Masked Autoencoders Are Scalable Vision Learners", "2111.06377", "section 3")
Pictures = Float[Tensor, "batch channels height width"]
Numbers = Int64[Tensor, "batch some"]
OtherNumbers = Int64[Tensor, "batch others"]
Pixels = Float[Tensor, "batch patches pixels"]
LEAST = 1e-6
"""Added to the variance of a patch before it is divided by."""


class MaskedReconstruction(Config):
    """The transformer that predicts, and what; the defaults are the authors'."""

    width: PositiveCount = 512
    """Numbers of its tokens, a multiple of `heads`."""
    depth: PositiveCount = 8
    """Its blocks."""
    heads: PositiveCount = 16
    """Heads of attention in each of them."""
    mlp_ratio: Positive = 4.0
    """Hidden width of a block's perceptron, over `width`."""
    norm_pix: bool = False
    """Predict the pixels of each patch less their mean, over their standard deviation."""

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> "MaskedReconstruction":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} cannot be shared out to {self.heads} heads")
        return self


@objective(
    config=MaskedReconstruction, paper=PAPER, pretrains=True, example={"student_feature": (5, 12)}
)
class Reconstruction(nn.Module):
    """Learn to predict pixels."""

    def __init__(self, config: MaskedReconstruction):
        super().__init__()
        self.config = config

    def prepare(self, setting: Setting) -> None:
        """Make the transformer; StageError where the tap gives no token for each visible patch."""
        shapes, config = setting.shapes, self.config
        channels, height, width = shapes["image"]
        visible, count = shapes["visible"][0], shapes["visible"][0] + shapes["hidden"][0]
        own = shapes["student_feature"]
        if len(own) != 2 or own[0] != visible + 1:
            raise StageError(
                f"what is tapped in the student gives {list(own)}: no tokens of the class and of "
                f"{visible} visible patches.",
                "Tap its last norm: tap: {student: norm} of a vit.",
            )
        self.patch = round((height * width / count) ** 0.5)
        pixels = self.patch**2 * channels
        if config.norm_pix and pixels == 1:
            raise StageError("a patch of one number has no spread.", "Give norm_pix: false.")
        self.embed = linear(own[1], config.width)
        self.mask_token = token(config.width)
        self.places = places_of(count, config.width)
        self.blocks = nn.Sequential(
            *(Block(config.width, config.heads, config.mlp_ratio) for _ in range(config.depth))
        )
        self.norm, self.pixels = nn.LayerNorm(config.width), linear(config.width, pixels)

    def forward(
        self, *, student_feature: Features, image: Pictures, visible: Numbers, hidden: OtherNumbers
    ) -> PerExample:
        r"""Return $\overline{(\hat x - x)^2}$ over all pixels of the hidden patches, per example.

        As many patches of each example are hidden, so their mean over a batch is the paper's.
        """
        wanted = self.targets(image.float(), hidden)
        found = chosen(self.predicted(student_feature.float(), visible, hidden), hidden)
        return (found - wanted).square().mean((1, 2))

    def targets(self, image: Pictures, hidden: Numbers) -> Pixels:
        """Return what is to be predicted of the hidden patches, [batch, hidden, pixels]."""
        pixels = chosen(patches_of(image, self.patch), hidden)
        if not self.config.norm_pix:
            return pixels
        centred = pixels - pixels.mean(-1, keepdim=True)
        return centred / (pixels.var(-1, keepdim=True) + LEAST).sqrt()

    def predicted(self, tokens: Features, visible: Numbers, hidden: OtherNumbers) -> Pixels:
        """Return the pixels of all patches, row by row, [batch, patches, pixels]."""
        own = self.embed(tokens)
        masks = self.mask_token.expand(*hidden.shape, -1)
        shuffled = torch.cat((own[:, 1:], masks), 1)
        restore = torch.cat((visible, hidden), 1).argsort(1)
        placed = chosen(shuffled, restore) + self.places
        seen = self.blocks(torch.cat((own[:, :1], placed), 1))
        pixels: Tensor = self.pixels(self.norm(seen)[:, 1:])
        return pixels
