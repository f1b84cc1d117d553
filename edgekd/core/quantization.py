"""The specifications of quantization, one per kind, which every back-end follows."""

import platform
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from edgekd.core.config import Config, Number, PositiveCount
from edgekd.core.refs import UseTransform

X86 = ("x86_64", "amd64", "i386", "i686", "x86")


class Quantization(Config):
    """What all kinds say. Weights are symmetric in 8 bits: both back-ends are made for that."""

    precision: ClassVar[str] = "int8"
    """What a program of this kind is called in results and reports."""

    exclude: tuple[str, ...] = ()
    """Module paths that stay in fp32, as `named_modules()` spells them."""


class Int8Static(Quantization):
    """Weights and activations in 8 bits, ranges fixed from samples of the training split."""

    granularity: Literal["channel", "tensor"] = "channel"
    """One weight scale per output channel, or one per tensor."""
    activation: Literal["auto", "uint8", "int8"] = "auto"
    """Type of activations in ONNX Runtime (XNNPACK has int8 only); `auto` asks the target."""
    symmetric: bool | None = None
    """Whether ranges of activations lie evenly around zero. Where nothing is said, those that ONNX
    Runtime calibrates for int8 do, and no others."""
    calibration: Literal["minmax", "percentile", "entropy", "mse"] = "minmax"
    """How observed activations become ranges: their extremes; ONNX Runtime's percentile or
    entropy, for either of which XNNPACK takes its own histogram observer; or mse, the range whose
    rounding has the least squared error, found once and put into programs of either."""
    examples: PositiveCount = 256
    """How many training examples the ranges are taken from; both back-ends see the same ones."""
    ranges: Mapping[str, tuple[Number, Number]] = {}
    """Ranges of all activations, by the names of the values in the traced graph: what a distill
    stage trains and hands on. They are put into programs as they are, nothing is calibrated."""

    @property
    def settled(self) -> bool:
        """Whether ranges are those of the traced model, for every back-end, and not its own."""
        return bool(self.ranges) or self.calibration == "mse"


class Int8Dynamic(Quantization):
    """Weights in 8 bits, activations too, with a range that each call takes of its own input."""

    precision: ClassVar[str] = "int8 dynamic"
    examples: ClassVar[int] = 16
    """Enough to trace the model; no range is taken from them."""

    granularity: Literal["channel", "tensor"] = "channel"
    """One weight scale per output channel, or one per tensor."""
    convolutions: bool = False
    """Quantize convolutions too, in ONNX Runtime: measured there, they become 9 to 10 times slower
    than in fp32. Otherwise they stay in fp32, and a model that is mostly convolutions is
    refused."""
    embeddings: bool = True
    """Quantize embedding tables too, one scale each, in ONNX Runtime: a quarter of the bytes.
    XNNPACK programs keep them in fp32."""


class Int4Weights(Quantization):
    """Weights of linear layers in 4 bits, a scale for every block of inputs of an output."""

    precision: ClassVar[str] = "int4 weights"
    examples: ClassVar[int] = 16
    """Enough to trace the model; no range is taken from them."""

    block_size: Literal[32, 64, 128] = 32
    """How many inputs share a scale. Linear layers whose inputs it does not divide stay in fp32
    in XNNPACK programs; ONNX Runtime fills their last block with zeros."""
    symmetric: bool = True
    """Whether a block's range lies evenly around zero; XNNPACK has no other."""
    activation: Literal["int8", "float32"] = "int8"
    """What a product rounds its input to, with a range that each call takes of its own input;
    float32 is for ONNX Runtime, which may round less than it is allowed to."""


def precision_of(use: UseTransform | None) -> str:
    """Return what a program is called whose model was quantized so: `fp32` where it was not."""
    return str(getattr(use.options, "precision", Quantization.precision)) if use else "fp32"


def activation_type(
    use: UseTransform | None, target: Mapping[str, Any]
) -> Literal["uint8", "int8"]:
    """Return the type of int8 activations: the specification's, or where it is open the target's.

    Where both are open the architecture decides: x86 multiplies unsigned by signed bytes fastest,
    others signed by signed.
    """
    asked: str = use.options.activation if use and isinstance(use.options, Int8Static) else "auto"
    if asked == "auto":
        asked = target.get("quantization", {}).get("activation", "auto")
    if asked == "auto":
        architecture = target.get("hardware", {}).get("arch", platform.machine())
        asked = "uint8" if architecture.lower() in X86 else "int8"
    return "int8" if asked == "int8" else "uint8"
