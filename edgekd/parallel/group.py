"""The processes that work on a stage, as one of them sees them; alone where nobody else is."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class Group:
    """Processes that do the same on their own parts of the same data, in step.

    What is asked of one is asked of all, in the same order: else they wait for each other.
    """

    rank: int = 0
    """The number of this process; 0 writes what is kept."""
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and decides."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there is no other process."""
        return self.size == 1

    @property
    def part(self) -> tuple[int, int]:
        """Which part of each batch this process takes: its number, of how many."""
        return self.rank, self.size

    def total(self, values: Tensor) -> Tensor:
        """Return the sum over all processes, without gradient; on a GPU nobody waits for it."""
        if self.alone:
            return values
        summed = values.detach().clone()
        distributed.all_reduce(summed)
        return summed

    def gathered(self, rows: Tensor) -> Tensor:
        """Return the rows of all processes, in the order of their numbers.

        Each may have another count of rows.
        """
        if self.alone:
            return rows
        counts = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        distributed.all_gather(counts, torch.tensor([len(rows)]))
        most = max(int(count) for count in counts)
        padded = rows.new_zeros((most, *rows.shape[1:]))
        padded[: len(rows)] = rows
        found = [torch.empty_like(padded) for _ in range(self.size)]
        distributed.all_gather(found, padded)
        each = zip(found, counts, strict=True)
        return torch.cat([there[: int(count)] for there, count in each])

    def as_first_says(self, value: Any) -> Any:
        """Return the JSON value of the first process; what the others gave does not count."""
        if self.alone:
            return value
        text = json.dumps(value).encode() if self.first else b""
        size = torch.tensor([len(text)])
        distributed.broadcast(size, 0)
        said = torch.zeros(int(size), dtype=torch.uint8)
        if self.first:
            said.copy_(torch.frombuffer(bytearray(text), dtype=torch.uint8))
        distributed.broadcast(said, 0)
        return json.loads(bytes(said.tolist()))

    def decided(self, *flags: bool) -> tuple[bool, ...]:
        """Return what the first process decided, whatever the others would have."""
        if self.alone:
            return flags
        said = torch.tensor(flags)
        distributed.broadcast(said, 0)
        return tuple(said.tolist())

    def mean(
        self, values: Mapping[str, Tensor], weight: float
    ) -> tuple[Mapping[str, Tensor], Tensor | float]:
        """Return the weighted mean of each value over all processes, and the sum of the weights."""
        if self.alone:
            return values, weight
        own = torch.stack([value.detach().float() for value in values.values()])
        total = self.total(torch.cat([own, own.new_ones(1)]) * weight)
        return dict(zip(values, total[:-1] / total[-1], strict=True)), total[-1]

    def wait(self) -> None:
        """Wait until all processes are here."""
        if not self.alone:
            distributed.barrier()


def group() -> Group:
    """Return the processes that work on the stage that is under way here."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return Group()
    return Group(distributed.get_rank(), distributed.get_world_size())
