"""How a stage is rehearsed: done on few examples before it is paid for, to tell what it will take.

A stage registers `rehearse=fn(options, run)`, which returns a `Rehearsal`; `run.task` then shows
the first examples of each split alone. A stage that registers nothing is done as it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgekd.core.config import Config


def nothing(_hidden: Mapping[str, int]) -> float:
    """Return that a stage takes no longer than its passes over the data tell."""
    return 0.0


@dataclass(frozen=True)
class Rehearsal:
    """What is done of a stage, and what it stands for."""

    options: Config
    """What the stage is asked instead: no choice may rest on answers of untrained weights."""
    epochs: int = 0
    """For how many epochs of a training the one that is made stands; 0 where nothing is trained."""
    grows: bool = False
    """Whether the result holds something of each training example."""
    beyond: Callable[[Mapping[str, int]], float] = nothing
    """Takes by split how many examples were not shown, once the stage is done; returns the
    seconds that the stage will take besides those of its passes over the data."""
