"""Fewer training examples than there are, drawn by chance."""

import torch
from jaxtyping import Int64
from torch import Tensor

from edgekd.core.errors import RequestError
from edgekd.core.seeds import sub_seed
from edgekd.tasks.columns import problem


def drawn(there: int, count: int, seed: int) -> Int64[Tensor, " count"]:
    """Return the first `count` numbers of a shuffle; RequestError where there are not as many."""
    if count > there:
        raise RequestError(
            problem(
                f"train_examples: {count} asks for more than the {there} there are.",
                "Ask for fewer, or leave train_examples out to use all.",
            )
        )
    rng = torch.Generator().manual_seed(sub_seed(seed, "train_examples"))
    return torch.randperm(there, generator=rng)[:count].clone()
