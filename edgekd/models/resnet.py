"""CIFAR-style residual network: three stages of basic blocks, each at half the resolution before.

Where a block changes shape its shortcut is a 1x1 convolution, and not the paper's padding with
zeros, so that structured pruning can follow the channels through it.
"""

from typing import Annotated

from jaxtyping import Float
from pydantic import AfterValidator
from torch import Tensor, nn

from edgekd.core.config import Config, PositiveCount
from edgekd.core.kinds import model
from edgekd.core.registry import Paper
from edgekd.core.signature import Signature

PAPER = Paper("Deep Residual Learning for Image Recognition", "1512.03385", "section 4.2")
Before = Float[Tensor, "batch channels height width"]
After = Float[Tensor, "batch channels_after height_after width_after"]


DEEPEST = 1202
"""Layers of the deepest network of the paper."""


def _whole_blocks(depth: int) -> int:
    """Refuse a depth that is not 6n + 2: three stages of n blocks of two layers, stem and head."""
    if depth < 8 or depth % 6 != 2:
        raise ValueError(f"expected 6n + 2 (8, 14, 20, 26, 32, ...), found {depth}")
    if depth > DEEPEST:
        raise ValueError(f"expected at most {DEEPEST}, the deepest of the paper, found {depth}")
    return depth


class ResNet(Config):
    """Size and shape of the network."""

    depth: Annotated[PositiveCount, AfterValidator(_whole_blocks)] = 20
    """Layers with weights, 6n + 2: 8, 14, 20, 32, ..."""
    width: PositiveCount = 16
    """Channels of the first stage; the second has twice and the third four times as many."""
    stem_stride: PositiveCount = 1
    """Step of the first convolution: 2 quarters the cost of everything after it."""


@model(config=ResNet, paper=PAPER)
def resnet(config: ResNet, signature: Signature) -> nn.Module:
    """Return the network for the signature's image channels and number of classes."""
    image, logits = signature.inputs[0], signature.outputs[0]
    return Network(config, int(image.shape[1]), int(logits.shape[-1]))


class Network(nn.Sequential):
    """Stem, three stages, mean over the picture, linear head."""

    def __init__(self, config: ResNet, image_channels: int, classes: int):
        width, blocks = config.width, (config.depth - 2) // 6
        widths = (width, 2 * width, 4 * width)
        super().__init__()
        self.stem = nn.Sequential(
            *_convolution(image_channels, width, config.stem_stride), nn.ReLU()
        )
        self.stages = nn.Sequential(
            _stage(width, widths[0], blocks, stride=1),
            _stage(widths[0], widths[1], blocks, stride=2),
            _stage(widths[1], widths[2], blocks, stride=2),
        )
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(widths[2], classes)


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.residual = nn.Sequential(
            *_convolution(before, after, stride), nn.ReLU(), *_convolution(after, after, 1)
        )
        same = stride == 1 and before == after
        self.shortcut = (
            nn.Identity() if same else nn.Sequential(*_convolution(before, after, stride, kernel=1))
        )
        self.activation = nn.ReLU()

    def forward(self, image: Before) -> After:
        """Return the activated sum of residual and shortcut."""
        summed: Tensor = self.activation(self.residual(image) + self.shortcut(image))
        return summed


def _stage(before: int, after: int, blocks: int, *, stride: int) -> nn.Sequential:
    """Return blocks of which the first changes width and resolution."""
    first = Block(before, after, stride)
    return nn.Sequential(first, *(Block(after, after, 1) for _ in range(blocks - 1)))


def _convolution(
    before: int, after: int, stride: int, *, kernel: int = 3
) -> tuple[nn.Module, nn.Module]:
    """Return a convolution that keeps the picture's size but for its stride, and its batch norm."""
    conv = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv, nn.BatchNorm2d(after)
