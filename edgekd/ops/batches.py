"""Which examples every batch of a pass has, and which of them are one process's part."""

from collections.abc import Iterator

import torch
from jaxtyping import Int64
from torch import Tensor

Ids = Int64[Tensor, " batch"]
Part = Int64[Tensor, " part"]

MOST_IN_INT32 = 2**31


def batch_ids(
    count: int,
    batch_size: int,
    *,
    rng: torch.Generator | None = None,
    part: tuple[int, int] = (0, 1),
    start: int = 0,
    among: Ids | None = None,
) -> Iterator[Part]:
    """Yield the ids of each batch of one pass over `count` examples, shuffled where `rng` is given.

    Of each batch only the `part` (which, of how many), and no batch before number `start`: see
    `core.protocols.task.Task.batches`. With `among` a pass is as long as ever, of those ids alone,
    all of them before any comes again. A shuffled pass holds 4 bytes an example, another nothing.
    """
    order = None if rng is None or among is not None else _shuffled(count, rng)
    if among is not None:
        order = torch.cat([*_passes(among, count, rng)])[:count]
    for first in range(start * batch_size, count, batch_size):
        end = min(first + batch_size, count)
        ids = torch.arange(first, end) if order is None else order[first:end].long()
        yield part_of(ids, part)


def part_of(ids: Ids, part: tuple[int, int]) -> Part:
    """Return part `which` of `of` parts of a batch, or all of it where there are fewer examples.

    The parts follow one another; their sizes differ by at most one, the first are the larger.
    """
    which, of = part
    assert 0 <= which < of, f"there is no part {which} of {of}"
    return ids if of == 1 or len(ids) < of else torch.tensor_split(ids, of)[which]


def _passes(among: Ids, count: int, rng: torch.Generator | None) -> Iterator[Ids]:
    """Yield these ids as often as `count` takes, each time shuffled where `rng` is given."""
    for _ in range(-(-count // len(among))):
        yield among if rng is None else among[_shuffled(len(among), rng).long()]


def _shuffled(count: int, rng: torch.Generator) -> Tensor:
    """Return all numbers below `count` by chance: the same ones in either type."""
    dtype = torch.int32 if count <= MOST_IN_INT32 else torch.int64
    return torch.randperm(count, generator=rng, dtype=dtype)
