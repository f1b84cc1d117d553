"""Chance that belongs to an example: the same draw whatever batch, order or process it stands in.

A generator hands its numbers to whoever comes next, so what an example gets depends on all that
came before it. Here every number is a hash of (seed, view, example, place): SplitMix64 (Steele, Lea
and Flood, "Fast Splittable Pseudorandom Number Generators", 2014) run as a counter. So what was
kept of a view of an example is what another training sees of it.
"""

from collections.abc import Iterator
from functools import cached_property
from math import prod

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from edgekd.core.seeds import sub_seed

GOLDEN = -0x61C8864680B583EB
"""SplitMix64's step, 0x9E3779B97F4A7C15, as the signed number that torch has."""
FIRST, SECOND = -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15
"""Its multipliers 0xBF58476D1CE4E5B9 and 0x94D049BB133111EB."""
FRACTION_BITS = 24
"""What float32 holds of a number below 1."""


class Draws:
    """What one view of the examples of a batch draws; each call gives other numbers.

    Args:
        seed: of the training, or of the view that was kept.
        view: which look at the examples this is.
        ids: stable number of each example, [batch]; numbers are drawn on its device.

    """

    def __init__(self, seed: int, view: int, ids: Int64[Tensor, " batch"]):
        self.seed, self.view, self.ids = seed, view, ids
        self._drawn = 0

    def split(self, count: int) -> Iterator["Draws"]:
        """Yield `count` independent sources for the same view of the same examples."""
        for index in range(count):
            yield Draws(sub_seed(self.seed, "draws", index), self.view, self.ids)

    def uniform(self, *shape: int) -> Float[Tensor, "batch ..."]:
        """Return float32 numbers in [0, 1), [batch, *shape], in steps of 2^-24."""
        bits = _shifted(self._bits(shape), 64 - FRACTION_BITS)
        return bits.to(torch.float32) * 2.0**-FRACTION_BITS

    def integers(self, high: int, *shape: int) -> Int64[Tensor, "batch ..."]:
        """Return int64 numbers in [0, high), [batch, *shape].

        Some are likelier than others by high / 2^32 at most: ValueError from 2^31 on.
        """
        if not 0 < high < 2**31:
            raise ValueError(f"integers below {high} cannot be drawn; expected 1 to 2^31 - 1")
        return _shifted(_shifted(self._bits(shape), 32) * high, 32)

    def symmetric_beta(self, alpha: float) -> Float[Tensor, " batch"]:
        """Return float32 numbers in [0, 1] from Beta(alpha, alpha), alpha above 0.

        By Student's t with 2 alpha degrees of freedom, which two uniform numbers give: Bailey,
        "Polar generation of random variates with the t-distribution" (1994).
        """
        first, second = self.uniform(2).unbind(1)
        along, kept = torch.cos(2 * torch.pi * second), first ** (1 / alpha)
        squared = (1 - kept) / (kept + (1 - kept) * along.square())
        return ((1 + along * squared.sqrt()) / 2).clamp(0, 1)  # rounding may pass its ends

    def _bits(self, shape: tuple[int, ...]) -> Int64[Tensor, "batch ..."]:
        """Return 64 bits of chance for every number that is asked for."""
        count = prod(shape)
        place = torch.arange(1, count + 1, device=self.ids.device) + self._drawn
        self._drawn += count
        return _mixed(self._own[:, None] + place * GOLDEN).reshape(len(self.ids), *shape)

    @cached_property
    def _own(self) -> Int64[Tensor, " batch"]:
        """Where the numbers of each example begin."""
        stream = sub_seed(self.seed, "view", self.view)
        return _mixed(_mixed(self.ids * GOLDEN + stream) + stream)


def _mixed(x: Int64[Tensor, "..."]) -> Int64[Tensor, "..."]:
    """Return SplitMix64's finalizer of 64-bit numbers; multiplication wraps round."""
    x = (x ^ _shifted(x, 30)) * FIRST
    x = (x ^ _shifted(x, 27)) * SECOND
    return x ^ _shifted(x, 31)


def _shifted(x: Int64[Tensor, "..."], bits: int) -> Int64[Tensor, "..."]:
    """Return a shift to the right that brings zeros, as of an unsigned number."""
    kept: Tensor = (x >> bits) & (2 ** (64 - bits) - 1)
    return kept
