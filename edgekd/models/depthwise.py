"""MobileNet-style student: depthwise and pointwise convolutions in place of full ones.

ReLU is the only activation, and every convolution is followed by a batch norm, so that all of it
folds into int8 kernels.
"""

from typing import Annotated

from pydantic import AfterValidator
from torch import nn

from edgekd.core.config import Config, PositiveCount
from edgekd.core.kinds import model
from edgekd.core.registry import Paper
from edgekd.core.signature import Signature

PAPER = Paper(
    "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
    "1704.04861",
    "section 3.1",
)


MOST_BLOCKS = 200


def _not_endless(blocks: tuple[int, ...]) -> tuple[int, ...]:
    """Refuse networks that only a typing error asks for: describing them alone takes minutes."""
    if sum(blocks) > MOST_BLOCKS:
        raise ValueError(f"expected at most {MOST_BLOCKS} blocks in all, found {sum(blocks)}")
    return blocks


class Depthwise(Config):
    """Size and shape of the network."""

    width: PositiveCount = 16
    """Channels after the stem; each stage but the first doubles them and halves the resolution."""
    blocks: Annotated[tuple[PositiveCount, ...], AfterValidator(_not_endless)] = (1, 2, 2)
    """Separable blocks in each stage."""
    stem_stride: PositiveCount = 2
    """Step of the first convolution: 2 quarters the cost of everything after it."""


@model(config=Depthwise, paper=PAPER)
def depthwise(config: Depthwise, signature: Signature) -> nn.Module:
    """Return the network for the signature's image channels and number of classes."""
    image, logits = signature.inputs[0], signature.outputs[0]
    return Network(config, int(image.shape[1]), int(logits.shape[-1]))


class Network(nn.Sequential):
    """Stem, stages of separable blocks, mean over the picture, linear head."""

    def __init__(self, config: Depthwise, image_channels: int, classes: int):
        super().__init__()
        width = config.width
        self.stem = _convolution(image_channels, width, 3, config.stem_stride)
        self.stages = nn.Sequential()
        for index, blocks in enumerate(config.blocks):
            wider = config.width * 2**index
            self.stages.append(_stage(width, wider, blocks, stride=1 if index == 0 else 2))
            width = wider
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(width, classes)


def _stage(before: int, after: int, blocks: int, *, stride: int) -> nn.Sequential:
    """Return separable blocks of which the first changes width and resolution."""
    first = _separable(before, after, stride)
    return nn.Sequential(first, *(_separable(after, after, 1) for _ in range(blocks - 1)))


def _separable(before: int, after: int, stride: int) -> nn.Sequential:
    """Return a depthwise 3x3 convolution and the pointwise one that mixes its channels."""
    return nn.Sequential(
        _convolution(before, before, 3, stride, groups=before), _convolution(before, after, 1, 1)
    )


def _convolution(
    before: int, after: int, kernel: int, stride: int, *, groups: int = 1
) -> nn.Sequential:
    """Return a convolution that keeps the picture's size but for its stride, normed, activated."""
    conv = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU())
