"""The first examples of a task, with a clock: what a pass over all of them would take."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from edgekd.core.protocols.task import Task
from edgekd.core.protocols.values import Batch, Split

WARM_UP = 4
"""Steps of a pass that do not count where there are twice as many."""


@dataclass
class Pass:
    """One pass over the examples of a split that are shown, as far as somebody took them."""

    split: Split
    size: int
    """Examples of the whole split."""
    drawn: bool
    """Whether they were asked for in an order by chance, as who learns from them does."""
    steps: list[tuple[int, float]] = field(default_factory=list)
    """Of every batch the examples, and the seconds until the next was asked for."""
    whole: bool = False
    """Whether all that are shown were taken."""

    @property
    def shown(self) -> int:
        """Examples that were taken."""
        return sum(examples for examples, _ in self.steps)

    @property
    def counted(self) -> Sequence[tuple[int, float]]:
        """The steps that tell the speed."""
        return self.steps[WARM_UP:] if len(self.steps) >= 2 * WARM_UP else self.steps

    @property
    def per_example_s(self) -> float:
        """Seconds for an example once warmed up."""
        return sum(s for _, s in self.counted) / sum(n for n, _ in self.counted)

    @property
    def again_s(self) -> float:
        """Seconds that a pass over the whole split will take after this one."""
        return self.size * self.per_example_s

    @property
    def hidden_s(self) -> float:
        """Seconds that this pass would have taken longer over the whole split."""
        return (self.size - self.shown) * self.per_example_s


class Excerpt:
    """A task of which each split has its first examples alone, in their order.

    Everything else is the task's own. One process works on it: a batch is not divided.
    """

    def __init__(self, task: Task, most: Mapping[Split, int]):
        self._task, self._most = task, most
        self.passes: list[Pass] = []
        """In the order in which they ended."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def of(self, change: Callable[[Task], Task]) -> "Excerpt":
        """Return the same of another task, which is made of this one, with the same clock."""
        other = Excerpt(change(self._task), self._most)
        other.passes = self.passes
        return other

    def size(self, split: Split) -> int:
        """Return the number of examples that are shown."""
        return min(self._most[split], self._task.size(split))

    def hidden(self) -> dict[str, int]:
        """Return by split how many examples are not shown."""
        return {split: self._task.size(split) - self.size(split) for split in self._most}

    def batches(
        self,
        split: Split,
        batch_size: int,
        *,
        device: torch.device,
        rng: torch.Generator | None = None,
        part: tuple[int, int] = (0, 1),
        start: int = 0,
        among: Tensor | None = None,
    ) -> Iterator[Batch]:
        """Yield the examples that are shown, in their order also where `rng` is given."""
        assert part == (0, 1), "a rehearsal is of one process"
        left = self.size(split) - start * batch_size
        if left <= 0:
            return
        found = Pass(split, self._task.size(split), rng is not None)
        some: dict[str, Any] = {} if among is None else {"among": among}
        given = self._task.batches(split, batch_size, device=device, start=start, **some)
        began = _now(device)
        try:
            while not found.whole:
                batch = {name: column[:left] for name, column in next(given).items()}
                count = len(next(iter(batch.values())))
                left -= count
                found.whole = left <= 0
                try:
                    yield batch
                finally:
                    began, before = _now(device), began
                    found.steps.append((count, began - before))
        finally:
            self.passes.append(found)


def _now(device: torch.device) -> float:
    """Return the time, in seconds, at which all work of a device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def hidden_seconds(passes: Sequence[Pass], epochs: int) -> float:
    """Return what the whole splits take longer than the examples that were shown, in seconds.

    Of a training one epoch was made, and its other `epochs` are still to come.
    """
    longer = sum((one.hidden_s for one in passes if one.whole), 0.0)
    return longer + max(0, epochs - 1) * sum(one.again_s for one in epoch_of(passes))


def epoch_of(passes: Sequence[Pass]) -> list[Pass]:
    """Return the last pass that somebody learned from, and the one that scored what was learned."""
    whole = [one for one in passes if one.whole]
    learned = [i for i, one in enumerate(whole) if one.drawn and one.split == "train"]
    if not learned:
        return []
    scored = [one for one in whole[learned[-1] + 1 :] if one.split == "validation"]
    return [whole[learned[-1]], *scored[:1]]
