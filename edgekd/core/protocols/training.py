"""What objectives, augmentations and choices of examples must do in a training.

Most are plain functions. An objective takes its options and, by keyword, the signals that it asks
for, and returns one value per example; an augmentation takes `(options, batch, draws)` and returns
a batch, with no chance but that of `draws` (`ops.draws.Draws`); a select takes `(options, draws)`
and, by keyword, the signals of all training examples that it asks for, and returns what an epoch
uses of them (`Chosen`).

An augmentation may register a `check(options, task)`, `changes="image"` where it needs that input,
`mixes=True` where it makes one example of two (`ops.mixing` says how it tells), and `each=True`
where it changes every example on its own, whatever stands beside it in the batch: then what a
teacher says of the examples can be kept. One that leaves the examples and makes a second view of
them (`ops.mixing.SECOND`) registers `second_view(options)`, which tells whether it does. An
objective for which that is not legal registers `kept=False`; one that takes `labels` of mixed
examples registers `mixed_labels=True`, and one that is to be given examples without a label, too,
`unlabelled=True`: their label is -1; one that looks at a signal of the student without teaching by
it names it, `only_weighs=("student_logits",)`. It may register `tells={name: function}`, numbers
per example whose mean stands in the history beside the loss: each function is given its options (of
an `nn.Module`, that) and its signals.

An objective that is an `nn.Module` may make parts for the shapes at hand (`Prepares`), and may see
the teacher over all training examples before the first step (`Fits`). It and an augmentation may
learn after each step by something else than the loss (`Learns`); one that registers `held_out=True`
is given training examples that nothing else learns from, an augmentation that asks the teacher
registers `teacher=True`.

An objective or augmentation that keeps state from step to step is an `nn.Module`, or has
`state_dict()` and `load_state_dict(state)`: numbers, texts, tensors and arrays in dicts, lists and
tuples. A training that was interrupted gives it back; state kept elsewhere is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from edgekd.core.protocols.values import Facts, Signals
from edgekd.core.study import Study

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@dataclass(frozen=True)
class Setting:
    """What an objective meets in a training, told once before the first step."""

    shapes: Mapping[str, tuple[int, ...]]
    """Of one example of each signal that it asks for, without the batch."""
    examples: int
    """Of the training split; all `ids` are below it."""
    classes: Sequence[str]
    """Names of the classes, in the order of `labels`; none where there are no labels."""


@runtime_checkable
class Prepares(Protocol):
    """An objective that has parts for the shapes at hand, as a projector from one to another."""

    def prepare(self, setting: Setting) -> None:
        """Make the parts: modules and buffers of its own, which learn and are kept with it.

        Called on a CPU under a seed of the stage and the term, before the optimizer is made and a
        checkpoint is read. StageError where it cannot work on such shapes.
        """


@runtime_checkable
class Fits(Protocol):
    """An objective that learns something of the teacher over all training examples."""

    def fit(self, batches: Iterable[Signals]) -> None:
        """Look at every training example once, and keep what was found in buffers of its own.

        The batches come as they are asked for, with the signals that the objective asks for but
        the student's, of examples that nothing has changed, in an order that must not matter.
        Called after `prepare`, not in a training that goes on from where that was done. StageError
        where the examples are not enough.
        """


@dataclass(frozen=True)
class Chosen:
    """Which training examples an epoch uses."""

    kept: Tensor
    """A mark on each, bool [examples]."""
    facts: Facts = field(default_factory=dict)
    """What the history says of it."""


@runtime_checkable
class HandsOn(Protocol):
    """An objective that puts something of what it found into the student, which keeps it."""

    def hand_on(self, student: nn.Module) -> None:
        """Set buffers of the student, before the first step; StageError where it has no room.

        Called after `prepare` and `fit`, and again in a training that goes on, with the same.
        """


@runtime_checkable
class Learns(Protocol):
    """An objective or augmentation that also learns by something else than the loss.

    It is an `nn.Module`; `prepare` (`Prepares`) makes its parts, of an augmentation for the inputs.
    """

    def own_optimizer(self) -> torch.optim.Optimizer:
        """Return the optimizer of these parts, which that of the loss leaves alone.

        Called once, when they are on the device. Its state is kept in checkpoints.
        """

    def after_step(self, study: Study) -> None:
        """Learn from a step of the training that is over, by `study.learn`; often, or not at all.

        All processes do the same. What is drawn of torch's generators is drawn by a seed of the
        step, and leaves no trace in the training.
        """
