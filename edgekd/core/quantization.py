"""The one specification of int8 quantization, which every back-end follows."""

from typing import Literal

from edgekd.core.config import Config, PositiveCount


class Int8Static(Config):
    """Weights and activations in 8 bits, ranges fixed from samples of the training split."""

    granularity: Literal["channel", "tensor"] = "channel"
    """One weight scale per output channel, or one per tensor."""
    activation: Literal["auto", "uint8", "int8"] = "auto"
    """Type of activations in ONNX Runtime (XNNPACK has int8 only); `auto` asks the target."""
    calibration: Literal["minmax", "percentile", "entropy"] = "minmax"
    """How observed activations become ranges: their extremes, or ONNX Runtime's percentile or
    entropy, for either of which XNNPACK takes its own histogram observer."""
    examples: PositiveCount = 256
    """How many training examples the ranges are taken from; both back-ends see the same ones."""
    exclude: tuple[str, ...] = ()
    """Module paths that stay in fp32, as `named_modules()` spells them."""
