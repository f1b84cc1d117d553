"""Training examples that are set aside: parts that learn on their own look at them, nothing else.

A term or an augmentation asks for them by `held_out=True`. They are drawn by the seed of the stage
and are of the training split: validation and test examples stay what they are for.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

import torch

from edgekd.core.errors import Problem
from edgekd.core.protocols.stage import Run
from edgekd.core.protocols.task import Task
from edgekd.core.protocols.values import Batch
from edgekd.core.refs import Use, UseObjective
from edgekd.core.seeds import sub_seed
from edgekd.ops.batches import part_of
from edgekd.train.needs import count
from edgekd.train.optim import Train
from edgekd.train.samples import marked

TENTH = 10
MOST = 1000
"""Held out where nothing is said: they stay in memory."""


def set_aside(uses: Sequence[Use], train: Train, there: int) -> int:
    """Return how many of the training examples that are there are held out."""
    if not asking(uses):
        return 0
    return train.held_out or max(1, min(there // TENTH, MOST))


def asking(uses: Sequence[Use]) -> list[str]:
    """Return who asks for examples that are held out."""
    return [use.kind for use in uses if use.plugin.traits.get("held_out")]


class HeldOut:
    """The examples that are set aside, in memory, and the passes over the others."""

    def __init__(self, run: Run, examples: int):
        self.run = run
        rng = torch.Generator().manual_seed(sub_seed(run.seed, "held out"))
        total = run.task.size("train")
        self.marks = torch.zeros(total, dtype=torch.bool, device=run.device)
        self.marks[torch.randperm(total, generator=rng)[:examples]] = True
        self.columns = marked(run.task, self.marks)

    def drawn(self, examples: int, step: int) -> Batch:
        """Return some of them by chance, each once."""
        rng = torch.Generator().manual_seed(sub_seed(self.run.seed, "held out", step))
        ids = self.columns["ids"]
        chosen = torch.randperm(len(ids), generator=rng)[:examples].to(ids.device)
        return {name: column[chosen] for name, column in self.columns.items()}

    def others(
        self, size: int, rng: torch.Generator, part: tuple[int, int], start: int
    ) -> Iterator[Batch]:
        """Yield a pass over the other examples, as `Task.batches` would if there were no more.

        All are read, by every process, and those of batches before `start` too.
        """
        for batch in islice(self._whole(size, rng), start, None):
            rows = part_of(torch.arange(len(batch["ids"])), part).to(batch["ids"].device)
            yield {name: column[rows] for name, column in batch.items()}

    def _whole(self, size: int, rng: torch.Generator) -> Iterator[Batch]:
        rest: Batch = {}
        device = self.marks.device
        for batch in self.run.task.batches("train", size, device=device, rng=rng):
            rows = ~self.marks[batch["ids"]]
            own = {name: column[rows] for name, column in batch.items()}
            rest = {n: torch.cat((rest[n], own[n])) for n in own} if rest else own
            if len(rest["ids"]) >= size:
                yield {name: column[:size] for name, column in rest.items()}
                rest = {name: column[size:] for name, column in rest.items()}
        if rest and len(rest["ids"]):
            yield rest


def check_held_out(uses: Sequence[UseObjective], train: Train, task: Task) -> Iterator[Problem]:
    """Yield why examples cannot be held out."""
    path, there, who = "train.held_out", count(task, "train"), asking((*uses, *train.augment))
    if not who:
        return
    if "labels" not in getattr(task, "columns", ("labels",)):
        message = f"{who[0]} learns from labels of held-out examples; this task has none."
        yield Problem(path, message, f"Leave {who[0]} out.")
    if train.labelled is not None:
        message = f"{who[0]} learns from labels of held-out examples, and some are not to be known."
        yield Problem("train.labelled", message, "Leave one of them out.")
    if there and set_aside([*uses, *train.augment], train, there) >= there:
        message = f"{train.held_out or 1} examples are held out; there are {there}."
        yield Problem(path, message, "Hold out fewer: the others are what is trained on.")
