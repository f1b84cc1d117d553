"""Give pictures the brightness and contrast of others, channel by channel: KD^3's MixDistribution.

Mean and deviation over the pixels of each channel are moved towards those of another picture of
the batch. What the picture shows stays, and so does its class. Write it last: the second view is
made of what the augmentations before it made. Departs from the paper: nobody is its own partner.
Partners stand in the same batch, that of one process where several train together.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from edgekd.core.config import Config, Positive
from edgekd.core.kinds import augment
from edgekd.core.protocols.values import Batch
from edgekd.core.registry import Paper
from edgekd.ops.draws import Draws
from edgekd.ops.mixing import SECOND, Partners, ring

PAPER = Paper(
    "Distribution Shift Matters for Knowledge Distillation with Webly Collected Images",
    "2307.11469",
    "its MixDistribution",
)
LEAST = 1e-6
"""Added to a variance."""

Images = Float[Tensor, "batch channels height width"]


class MixDistribution(Config):
    """How far pictures are moved, and what becomes of them."""

    alpha: Positive = 0.1
    """The own share of mean and deviation is drawn from Beta(alpha, alpha)."""
    second: bool = True
    """Leave the picture and make a second view of it, for a term as `view_contrast`; else what was
    moved takes its place."""


def second_view(config: MixDistribution) -> bool:
    """Tell whether a second view is made."""
    return config.second


@augment(config=MixDistribution, paper=PAPER, changes="image", second_view=second_view)
def mix_distribution(config: MixDistribution, batch: Batch, draws: Draws) -> Batch:
    """Return the batch with every `image` moved, or with that as `second_image`."""
    share, partner = draws.symmetric_beta(config.alpha), ring(draws.uniform())
    name = f"{SECOND}image" if config.second else "image"
    return batch | {name: moved(batch["image"], share, partner)}


def moved(image: Images, share: Float[Tensor, " batch"], partner: Partners) -> Images:
    r"""Return $(x-\mu)/\sigma\,(\lambda\sigma+(1-\lambda)\sigma') + \lambda\mu+(1-\lambda)\mu'$."""
    mean = image.mean((2, 3), keepdim=True)
    spread = (image.var((2, 3), correction=0, keepdim=True) + LEAST).sqrt()
    weight = share[:, None, None, None].to(image)
    wanted_mean, wanted = (torch.lerp(own[partner], own, weight) for own in (mean, spread))
    return (image - mean) / spread * wanted + wanted_mean
