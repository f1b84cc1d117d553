"""Learning from a pool: pictures that nobody labelled in the place of the training split."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, cast

from edgekd.core.errors import Problem, RequestError
from edgekd.core.protocols.source import Source
from edgekd.core.protocols.stage import Preview, Run
from edgekd.core.protocols.task import Task
from edgekd.core.protocols.values import Batch, Split
from edgekd.core.refs import UseSource, UseTask
from edgekd.train.excerpt import Excerpt
from edgekd.train.optim import Train

LEAVE = "Leave it out, or take a task of pictures with classes."


class Pooled:
    """A task whose training split is that of a pool, without labels; all else is the task's own.

    The pool's pictures are normalised as those that the teacher learned from.
    """

    columns: Sequence[str] = ("ids",)

    def __init__(self, task: Task, pool: UseSource):
        self._task, self._pool = task, pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def files(self) -> Sequence[Path]:
        """Return every file or folder that is read."""
        return [*self._task.files(), *self.source.files()]

    def size(self, split: Split) -> int:
        """Return the number of examples."""
        return self._of(split).size(split)

    def expected_size(self, split: Split) -> int | None:
        """Return the number of examples before any is read; None where nobody can tell."""
        told = getattr(self._task, "expected_size", lambda _: None)
        if split == "train":
            told = getattr(self.source, "count", lambda _: None)
        size: int | None = told(split)
        return size

    def expected_bytes(self) -> int | None:
        """Return what all splits and the pool will take in memory; None where nobody can tell.

        Twice the size of the pool's pictures: the source's own arrays, and those of batches.
        """
        own = getattr(self._task, "expected_bytes", lambda: None)()
        size = self.expected_size("train")
        each = prod(self.source.shapes["image"])
        return None if own is None or size is None else own + 2 * size * each

    def batches(self, split: Split, batch_size: int, **given: Any) -> Iterator[Batch]:
        """Yield a split; see `core.protocols.task.Task`."""
        return self._of(split).batches(split, batch_size, **given)

    @cached_property
    def source(self) -> Source:
        """Where the pool comes from."""
        source: Source = self._pool.build()
        return source

    @cached_property
    def pool(self) -> Task:
        """The pool as a task of its own."""
        facts = self._task.facts()
        options = {
            "kind": "unlabelled_images",
            "data": self._pool,
            "classes": tuple(facts["labels"]),
            "mean": tuple(facts["preprocessing"]["mean"]),
            "std": tuple(facts["preprocessing"]["std"]),
        }
        task: Task = UseTask.model_validate(options).build()
        return task

    def _of(self, split: Split) -> Task:
        return self.pool if split == "train" else self._task


class With:
    """A run or a preview with another task."""

    def __init__(self, whole: Run | Preview, task: Task):
        self._whole, self.task = whole, task

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)


def learning_from(pool: UseSource | None, run: Run) -> Run:
    """Return a run in whose task the pool stands for the training split, where there is one."""
    return run if pool is None else cast(Run, With(run, pooled(run.task, pool)))


def seeing(pool: UseSource | None, preview: Preview) -> Preview:
    """Return a preview in whose task the pool stands for the training split, where there is one."""
    return preview if pool is None else cast(Preview, With(preview, pooled(preview.task, pool)))


def pooled(task: Task, pool: UseSource) -> Task:
    """Return the task with a pool in the place of its training split."""
    if isinstance(task, Excerpt):
        return cast(Task, task.of(lambda own: pooled(own, pool)))
    return cast(Task, Pooled(task, pool))


def check_pool(pool: UseSource | None, train: Train, preview: Preview) -> Iterator[Problem]:
    """Yield why nothing can be learned from a pool, before a picture is read."""
    if pool is None:
        return
    for index, change in enumerate(train.augment):
        if change.plugin.traits.get("mixes"):
            message = f"{change.kind} shares out classes; the pool has no labels."
            yield Problem(f"train.augment[{index}]", message, "Leave it out.")
    signature = preview.task.signature()
    ports = (signature.inputs, signature.outputs)
    inputs, outputs = ([port.name for port in given] for given in ports)
    if (inputs, outputs) != (["image"], ["logits"]):
        message = f"a pool is of pictures for a classifier; this task gives {' and '.join(inputs)}."
        yield Problem("pool", message, LEAVE)
        return
    try:
        source: Source = pool.build()
        source.files()
        told = [*getattr(source, "check", tuple)()]
        shape = source.shapes.get("image", ())
    except RequestError as error:
        told = [*error.problems]
        shape = None
    for problem in told:
        yield Problem("pool", problem.message, problem.next_step)
    channels, height, width = signature.inputs[0].concrete(batch=1)[1:]
    if shape is not None and shape != (height, width, channels):
        found = "x".join(map(str, shape)) or "no size"
        message = (
            f"the pool's pictures have {found}, and the model takes {height}x{width}x{channels}."
        )
        yield Problem("pool", message, "Give pictures of that size.")
