"""Which examples every batch of a pass has, and which of them are one process's part."""

from collections.abc import Iterator

import torch
from jaxtyping import Int64
from torch import Tensor

Ids = Int64[Tensor, " batch"]
Part = Int64[Tensor, " part"]


def batch_ids(
    count: int,
    batch_size: int,
    *,
    rng: torch.Generator | None = None,
    part: tuple[int, int] = (0, 1),
) -> Iterator[Part]:
    """Yield the ids of each batch of one pass over `count` examples, shuffled where `rng` is given.

    Of each batch only the `part` (which, of how many): see `core.protocols.Task.batches`.
    """
    order = torch.arange(count) if rng is None else torch.randperm(count, generator=rng)
    for ids in torch.split(order, batch_size):
        yield part_of(ids, part)


def part_of(ids: Ids, part: tuple[int, int]) -> Part:
    """Return part `which` of `of` parts of a batch, or all of it where there are fewer examples.

    The parts follow one another; their sizes differ by at most one, the first are the larger.
    """
    which, of = part
    assert 0 <= which < of, f"there is no part {which} of {of}"
    return ids if len(ids) < of else torch.tensor_split(ids, of)[which]
