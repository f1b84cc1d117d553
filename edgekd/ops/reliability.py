"""Sorting predictions by how sure they are."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

NUM_BINS = 15


def confidence_bins(
    confidence: Float[Tensor, " examples"], num_bins: int = NUM_BINS
) -> Int[Tensor, " examples"]:
    """Return the bin of each confidence in (0, 1]: equal widths, upper edges included."""
    return ((confidence * num_bins).ceil() - 1).clamp(0, num_bins - 1).long()


def summed_gaps(
    confidence: Float[Tensor, " examples"],
    correct: Bool[Tensor, " examples"],
    bins: Int[Tensor, " examples"],
    num_bins: int = NUM_BINS,
) -> Float[Tensor, " bins"]:
    """Return by how much confidence exceeds accuracy in each bin, summed over its examples."""
    gaps = confidence - correct.to(confidence)
    return torch.zeros(num_bins).to(gaps).index_add(0, bins, gaps)
