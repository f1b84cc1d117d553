"""Texts with the names of their classes, divided into splits, as the columns of a source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import model_validator

from edgekd.core.config import Config, Count, Share
from edgekd.core.errors import Problem, RequestError
from edgekd.core.protocols.values import Arrays, Split
from edgekd.data.splits import stratified_parts

if TYPE_CHECKING:
    import numpy as np

    Indices = np.ndarray[Any, np.dtype[np.int64]]

SHOWN = 5
"""Places that a message names."""
SHAPES: Mapping[str, tuple[int, ...]] = {"text": (), "label": ()}


class Division(Config):
    """How texts are divided."""

    validation: Share = 0.1
    """Share of the texts that choices are made on."""
    test: Share = 0.1
    """Share of the texts that gates and reports use, and nothing else."""
    seed: Count = 0
    """Seed of the division; the seed of the run does not move it."""

    @model_validator(mode="after")
    def _leaves_something_to_train_on(self) -> Division:
        if not (self.validation > 0 and self.test > 0 and self.validation + self.test < 1):
            raise ValueError(
                f"validation ({self.validation}) and test ({self.test}) must both be above 0 "
                "and sum to less than 1"
            )
        return self


@dataclass(frozen=True)
class Texts:
    """Texts in some order."""

    text: Sequence[str]
    label: Sequence[str] | None
    """Name of the class of each; None where there are no classes."""
    place: Sequence[str]
    """How people find each."""

    def __len__(self) -> int:
        return len(self.text)

    def take(self, numbers: Sequence[int]) -> Texts:
        """Return the texts of these numbers, in their order."""
        label = None if self.label is None else [self.label[i] for i in numbers]
        return Texts([self.text[i] for i in numbers], label, [self.place[i] for i in numbers])

    def distinct(self) -> Texts:
        """Return the first of all that are equal."""
        first = {text: number for number, text in reversed([*enumerate(self.text)])}
        return self.take(sorted(first.values()))

    def classes(self) -> Sequence[str]:
        """Return the names of the classes, sorted."""
        return tuple(sorted({*(self.label or ())}))

    def columns(self, classes: Sequence[str]) -> Arrays:
        """Return `text` [n], Python's own texts, and `label` int64 [n] where there are classes.

        RequestError names the texts of another class.
        """
        import numpy as np

        text = np.empty(len(self), object)
        text[:] = self.text
        if self.label is None:
            return {"text": text}
        number = {name: index for index, name in enumerate(classes)}
        strange = [i for i, name in enumerate(self.label) if name not in number]
        if strange:
            name, places = self.label[strange[0]], [self.place[i] for i in strange]
            raise _problem(
                f"no training text has the class '{name}': {listed(places)}.",
                f"Mend it, or add such texts to train. Known: {', '.join(classes)}.",
            )
        return {"text": text, "label": np.array([number[name] for name in self.label], np.int64)}


def divide(
    texts: Texts, *, validation: float = 0, test: float = 0, seed: int = 0
) -> dict[Split, Texts]:
    """Return the texts in three splits, each class in about its share in every one.

    The first two have at least one text where their share is above 0. RequestError where nothing
    is left to train on.
    """
    import numpy as np

    count = len(texts)
    held = [max(1, round(share * count)) if share else 0 for share in (test, validation)]
    if sum(held) >= count:
        raise _problem(
            f"{count} texts cannot be divided: {held[1]} for validation and {held[0]} for test "
            "leave none to train on.",
            "Give more texts, or lower validation: and test:.",
        )
    _, label = np.unique(np.array(texts.label or [""] * count), return_inverse=True)
    parts = stratified_parts(label, (*held, count - sum(held)), seed)
    names: Sequence[Split] = ("test", "validation", "train")
    return {name: texts.take(part.tolist()) for name, part in zip(names, parts, strict=True)}


def listed(places: Sequence[str]) -> str:
    """Return the first few places, and how many there are: `3 (mails.csv:4, ...)`."""
    more = ", ..." if len(places) > SHOWN else ""
    return f"{len(places):,} ({', '.join(places[:SHOWN])}{more})"


def _problem(message: str, next_step: str) -> RequestError:
    return RequestError(Problem("task.data", message, next_step))
