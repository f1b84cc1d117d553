"""Ranges of values, what rounding within them costs, and the range that costs least."""

from dataclasses import dataclass

import torch
from torch import Tensor

LEAST_SCALE = 2.0**-12
"""No step is finer: XNNPACK's quantizer has the same limit."""
BINS = 2048
"""Bins of a histogram; a multiple of four."""
COARSE, FINE = 17, 9
"""Candidates for each end of a range, in the first look and in each closer one."""
LOOKS = 3


@dataclass(frozen=True)
class Levels:
    """The whole numbers that values are rounded to."""

    least: int = -128
    most: int = 127
    symmetric: bool = False
    """Whether zero is the whole number 0, for any range."""

    def steps(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scale and the whole number that stands for zero, which is always in range.

        The formula is torchao's, which ExecuTorch's exporter follows; tensors of one shape.
        """
        low, high = low.clamp(max=0.0), high.clamp(min=0.0)
        span = float(self.most - self.least)
        if self.symmetric:
            scale = torch.maximum(-low, high) / (span / 2)
            return scale.clamp(min=LEAST_SCALE), torch.zeros_like(scale, dtype=torch.int32)
        scale = ((high - low) / span).clamp(min=LEAST_SCALE)
        zero = self.least - (low / scale).round().to(torch.int32)
        return scale, zero.clamp(self.least, self.most)


class Histogram:
    """How often values of each size were seen, on both sides of zero.

    Where a value lies outside, the bins become twice as wide: what is counted does not depend on
    how the values came in parts.
    """

    def __init__(self) -> None:
        self.counts = torch.zeros(BINS, dtype=torch.float64)
        self.limit = 2.0**-20
        self.low = self.high = 0.0

    def add(self, values: Tensor) -> None:
        """Count the finite ones of values of any shape; a mask may add what is not finite."""
        flat = values.detach().flatten().float().cpu()
        flat = flat[flat.isfinite()]
        if not flat.numel():
            return
        self.low = min(self.low, flat.min().item())
        self.high = max(self.high, flat.max().item())
        while self.limit <= max(-self.low, self.high):
            self._widen()
        width = 2 * self.limit / BINS  # a power of two, so nothing is rounded on the way to a bin
        places = (flat / width).floor().long() + BINS // 2
        self.counts += torch.bincount(places, minlength=BINS).double()

    def _widen(self) -> None:
        pairs = self.counts.view(-1, 2).sum(1)
        self.counts = torch.zeros_like(self.counts)
        self.counts[BINS // 4 : -BINS // 4] = pairs
        self.limit *= 2

    @property
    def centres(self) -> Tensor:
        """The value that each bin stands for."""
        width = 2 * self.limit / BINS
        return (torch.arange(BINS, dtype=torch.float64) + 0.5) * width - self.limit


def squared_errors(histogram: Histogram, low: Tensor, high: Tensor, levels: Levels) -> Tensor:
    """Return what rounding costs in each of some ranges: the mean squared error, [ranges]."""
    there = histogram.counts > 0
    values, counts = histogram.centres[there], histogram.counts[there]
    scale, zero = (part[:, None].double() for part in levels.steps(low, high))
    whole = ((values / scale).round() + zero).clamp(levels.least, levels.most)
    return (((whole - zero) * scale - values).square() * counts).sum(1) / counts.sum()


def least_squares_range(histogram: Histogram, levels: Levels) -> tuple[float, float]:
    """Return the ends of the range in which rounding has the least squared error.

    Looked for on a grid of shares of the extremes, then on finer ones around the best; the
    extremes themselves are in the first, so it is never worse than they are. Banner et al. 2019,
    "Post training 4-bit quantization of convolutional networks for rapid-deployment", minimise the
    same error, for values of a known distribution.
    """
    ends = torch.tensor([[histogram.low, histogram.high]], dtype=torch.float64)
    if not histogram.counts.sum():
        return 0.0, 0.0
    best, reach, number = torch.full((2,), 0.5, dtype=torch.float64), 0.5, COARSE
    for _ in range(LOOKS):
        shares = _grid(best, reach, number)
        low, high = (shares * ends).T
        best = shares[squared_errors(histogram, low, high, levels).argmin()]
        reach, number = 2 * reach / (number - 1), FINE
    low_end, high_end = (best * ends[0]).tolist()
    return low_end, high_end


def _grid(centre: Tensor, reach: float, number: int) -> Tensor:
    """Return pairs of shares around a pair, each between 0 and 1."""
    steps = torch.linspace(-reach, reach, number, dtype=torch.float64)
    lows, highs = ((share + steps).clamp(0, 1).unique() for share in centre)
    return torch.cartesian_prod(lows, highs)
