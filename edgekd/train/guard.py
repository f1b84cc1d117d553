"""Stopping at the first loss that is not finite, with everything that tells why."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from edgekd.core.errors import StageError
from edgekd.core.protocols.stage import Run
from edgekd.core.protocols.values import Batch
from edgekd.parallel.group import group
from edgekd.train.optim import Train

LOSS = "loss"
"""Its name among the means of a step."""
NON_FINITE = "non_finite.json"
STEPS_BETWEEN_LOOKS = 20
"""On a GPU, where looking at a number waits until all work before it is done."""
SHOWN = 8


@dataclass(frozen=True)
class Note:
    """One step, as tensors on the device: nothing was waited for."""

    step: int
    epoch: int
    learning_rate: float
    ids: Tensor
    loss: Tensor
    terms: Mapping[str, Tensor]
    inputs: Mapping[str, Tensor]
    """One sum per example of each input with fractions: not finite where the input is not."""


def note(step: int, epoch: int, rate: float, batch: Batch, values: Mapping[str, Tensor]) -> Note:
    """Return the note of a step of which the loss and the mean of each term are known."""
    ids = batch["ids"]
    sums = {
        name: column.detach().reshape(len(ids), -1).sum(1, dtype=torch.float32)
        for name, column in batch.items()
        if column.is_floating_point() and column.shape[:1] == ids.shape
    }
    means = {name: value.detach() for name, value in values.items()}
    return Note(step, epoch, rate, ids, means.pop(LOSS), means, sums)


@dataclass
class Watch:
    """Looks at every loss: before its gradient on a CPU, every few steps on a GPU."""

    run: Run
    options: Train
    student: nn.Module
    steps: int
    _notes: list[Note] = field(default_factory=list)
    _found: tuple[Note, list[float]] | None = None
    """The note that was looked at last, with its terms and its loss."""

    def see(self, seen: Note) -> None:
        """Take a step's note; StageError where a loss was not finite, there or since the last."""
        self._notes.append(seen)
        if self.run.device == "cpu" or seen.step % STEPS_BETWEEN_LOOKS == 0:
            self.look()

    def numbers(self, step: int) -> dict[str, float]:
        """Return loss, terms and learning rate of a step, where it was looked at: nobody waits."""
        if self._found is None or self._found[0].step != step:
            return {}
        seen, values = self._found
        names = [*(f"step/terms/{name}" for name in seen.terms), "step/loss"]
        return dict(zip(names, values, strict=True)) | {"step/learning_rate": seen.learning_rate}

    def look(self) -> None:
        """Raise StageError where a loss since the last look is not finite."""
        if not self._notes:
            return
        last = self._notes[-1]  # its terms come along: the device is waited for once
        scalars = [*last.terms.values(), *(seen.loss for seen in self._notes)]
        values = torch.stack([value.to(last.loss.device) for value in scalars]).tolist()
        terms, losses = values[: len(last.terms)], values[len(last.terms) :]
        bad = next((i for i, loss in enumerate(losses) if not math.isfinite(loss)), None)
        if bad is not None:
            at_once = self.run.device == "cpu"  # so the weights are those that gave the loss
            spoiled = at_once and bad > 0 and not _finite(self.student)
            if spoiled:
                raise self._of_weights(_of_all(self._notes[bad - 1]))
            raise self._of_loss(_of_all(self._notes[bad]))
        self._notes = self._notes[-1:]
        self._found = last, [*terms, losses[-1]]

    def look_at_all(self) -> None:
        """Raise StageError where a loss, or after finite ones a weight, is not finite.

        A gradient that is not finite spoils the weights and shows in the next step's loss. Asked
        before anything is kept, so that no checkpoint and no result is spoiled.
        """
        self.look()
        if self._notes and not _finite(self.student):
            raise self._of_weights(_of_all(self._notes[-1]))

    def _of_weights(self, seen: Note) -> StageError:
        message = f"the weights are not finite after {self._place(seen)}, though its loss was."
        return StageError(message + self._kept(seen), self._lower())

    def _of_loss(self, seen: Note) -> StageError:
        said = ", ".join(f"{name} is {value.item():.4g}" for name, value in seen.terms.items())
        message = f"the loss is not finite in {self._place(seen)}: {said}."
        next_step = self._lower()
        if inputs := _not_finite(seen):
            message += "".join(f" The {n} of {_first(i)} is not finite." for n, i in inputs.items())
            next_step = "Mend these examples, or the augmentation that changed them."
        return StageError(message + self._kept(seen), next_step)

    def _place(self, seen: Note) -> str:
        return f"step {seen.step} of {self.steps} (epoch {seen.epoch})"

    def _kept(self, seen: Note) -> str:
        """Write down all that is known of a step; return where, and the batch, in a sentence."""
        ids = seen.ids.tolist()
        file = self.run.unfinished / NON_FINITE
        found = {
            "step": seen.step,
            "epoch": seen.epoch,
            "learning_rate": seen.learning_rate,
            "loss": _number(seen.loss.item()),
            "terms": {name: _number(value.item()) for name, value in seen.terms.items()},
            "ids": ids,
            "inputs_not_finite": _not_finite(seen),
        }
        batch = f" Its batch is {_first(ids)}"
        if not group().first:  # who writes it down
            return batch
        try:
            file.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", "utf-8")
        except OSError as error:
            return f"{batch}; all of it could not be written down: {error}."
        return f"{batch}; all of it is in {file}."

    def _lower(self) -> str:
        rate, clip = self.options.learning_rate, self.options.clip_norm
        other = "set train.clip_norm" if clip is None else f"train.clip_norm from {clip:g}"
        return f"Lower train.learning_rate from {rate:g}, or {other}."


def _of_all(seen: Note) -> Note:
    """Return a note with the examples of all processes, which have noticed the same."""
    inputs = {name: group().gathered(sums) for name, sums in seen.inputs.items()}
    return replace(seen, ids=group().gathered(seen.ids), inputs=inputs)


def _finite(module: nn.Module) -> bool:
    """Tell whether all weights are finite, with one wait for the device."""
    checks = [parameter.detach().isfinite().all() for parameter in module.parameters()]
    return bool(torch.stack(checks).all()) if checks else True


def _not_finite(seen: Note) -> dict[str, list[int]]:
    """Return the examples whose own input is not finite, by input."""
    found = {name: seen.ids[~sums.isfinite()].tolist() for name, sums in seen.inputs.items()}
    return {name: ids for name, ids in found.items() if ids}


def _first(ids: list[int]) -> str:
    """Return the first examples for people: 'examples 3, 8, ... (64)'."""
    rest = f", ... ({len(ids)} in all)" if len(ids) > SHOWN else ""
    return f"example{'s' * (len(ids) > 1)} {', '.join(map(str, ids[:SHOWN]))}{rest}"


def _number(value: float) -> float | str:
    """Return the number, or its name where JSON has no number for it."""
    return value if math.isfinite(value) else str(value)
