"""A stage that is rehearsed: done on few examples, against a clock."""

import time
from collections.abc import Mapping, Sequence
from typing import cast

from edgekd.core.config import Config
from edgekd.core.protocols.stage import Run
from edgekd.core.protocols.task import Task
from edgekd.core.protocols.values import Facts, Split
from edgekd.core.registry import Plugin
from edgekd.core.rehearsal import Rehearsal
from edgekd.train.excerpt import Excerpt, Pass, epoch_of, hidden_seconds

SOON = 0.05
"""Seconds more or less that nobody asks about."""


def rehearsed(plugin: Plugin, options: Config, run: Run, most: Mapping[Split, int]) -> Facts:
    """Return what a stage found out on `most` examples of each split, and what that stands for.

    That is `rehearsed`: the `seconds` it would take, what that `rests_on`, and by what its result
    `grows`.
    """
    began = time.monotonic()
    task = Excerpt(run.task, most)
    run.task = cast(Task, task)
    register = plugin.traits.get("rehearse")
    way: Rehearsal = register(options, run) if register else Rehearsal(options)
    facts: Facts = plugin.build(way.options)(run)
    taken = time.monotonic() - began
    longer = hidden_seconds(task.passes, way.epochs) + way.beyond(task.hidden())
    shown, hidden = task.size("train"), task.hidden()["train"]
    told = {
        "seconds": round(taken + longer, 3),
        "rests_on": _rests_on(epoch_of(task.passes), way.epochs, taken, longer),
        "grows": round((shown + hidden) / shown, 4) if way.grows else 1.0,
    }
    return {**facts, "rehearsed": told}


def _rests_on(epoch: Sequence[Pass], epochs: int, taken: float, longer: float) -> str:
    """Return what was timed, in words."""
    if epoch and epochs:
        learned = epoch[0]
        speed = f"{1 / learned.per_example_s:,.0f} examples/s over {len(learned.counted)} steps"
        return f"{speed}, {epochs} x {learned.size:,}"
    return f"{taken:.1f} s on few examples" if abs(longer) > SOON else "as it was timed"
