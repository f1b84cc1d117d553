"""1,797 handwritten digits, 8x8 pixels, 10 classes, from scikit-learn: always there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import field_validator, model_validator

from edgekd.core.config import Config, Count, Share
from edgekd.core.errors import Problem, RequestError
from edgekd.core.kinds import source
from edgekd.core.protocols.values import Arrays, Split
from edgekd.data.splits import stratified_parts

if TYPE_CHECKING:
    import numpy as np

DIGITS = "0123456789"
BRIGHTEST = 16
"""Pixels of the file are counts from 0 to 16."""


class DigitsOptions(Config):
    """How the examples are divided."""

    validation: Share = 0.15
    """Share of the examples that choices are made on."""
    test: Share = 0.25
    """Share of the examples that gates and reports use, and nothing else."""
    aside: Share = 0.0
    """Share of the examples that no split has: for a pool."""
    train_on: Literal["rest", "aside"] = "rest"
    """What the training split is: all others, or those that are set aside, as the pool is."""
    seed: Count = 0
    """Seed of the division; the seed of the run does not move it."""
    classes: tuple[str, ...] = tuple(DIGITS)
    """The digits of each class: ["02468", "13579"] tells even from odd. A digit of none is left
    out; how the others are divided stays."""

    @field_validator("classes")
    @classmethod
    def _have_each_digit_once(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        given = "".join(classes)
        if len(classes) < 2 or not all(classes) or len({*given} & {*DIGITS}) < len(given):
            raise ValueError("expected two classes or more, of digits that are in no other")
        return classes

    @model_validator(mode="after")
    def _leaves_something_to_train_on(self) -> DigitsOptions:
        taken = self.validation + self.test + self.aside
        if not (self.validation > 0 and self.test > 0 and taken < 1):
            beside = f", with aside ({self.aside})," if self.aside else ""
            raise ValueError(
                f"validation ({self.validation}) and test ({self.test}) must both be above 0 "
                f"and{beside} sum to less than 1"
            )
        if self.train_on == "aside" and not self.aside:
            raise ValueError("train_on: aside needs some that are set aside; give aside: 0.3, say")
        return self


@source(config=DigitsOptions, distributions=("scikit-learn",))
class Digits:
    """The digits in three splits with the classes in equal shares."""

    def __init__(self, options: DigitsOptions):
        self.options = options
        self.labels: Sequence[str] = options.classes
        self.shapes: Mapping[str, tuple[int, ...]] = {"image": (8, 8, 1), "label": ()}

    def files(self) -> Sequence[Path]:
        """Return the file inside scikit-learn; RequestError where that is not installed."""
        return (_installed(),)

    def load(self, split: Split) -> Arrays:
        """Return `image` uint8 [n, 8, 8, 1] and `label` int64 [n]."""
        taken = self._parts[split]
        columns = {name: column[taken] for name, column in self._columns.items()}
        return columns | {"label": self._class_of[columns["label"]]}

    def count(self, split: Split) -> int:
        """Return the number of examples."""
        return len(self._parts[split])

    @cached_property
    def _columns(self) -> Arrays:
        import numpy as np

        rows = np.loadtxt(_installed(), delimiter=",")
        image = (rows[:, :-1] * (255 / BRIGHTEST)).round().astype(np.uint8)
        return {"image": image.reshape(-1, 8, 8, 1), "label": rows[:, -1].astype(np.int64)}

    @cached_property
    def _parts(self) -> dict[Split, np.ndarray[Any, np.dtype[np.int64]]]:
        label = self._columns["label"]
        test = round(self.options.test * len(label))
        validation = round(self.options.validation * len(label))
        aside = round(self.options.aside * len(label))
        sizes = (test, validation, len(label) - test - validation - aside, aside)
        every = stratified_parts(label, sizes, self.options.seed)
        own = [part[self._class_of[label[part]] >= 0] for part in every]
        learned = own[3] if self.options.train_on == "aside" else own[2]
        return {"test": own[0], "validation": own[1], "train": learned}

    @cached_property
    def _class_of(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The number of each digit's class; -1 of one that is left out."""
        import numpy as np

        found = np.full(len(DIGITS), -1)
        for number, digits in enumerate(self.options.classes):
            found[[*map(int, digits)]] = number
        return found


def _installed() -> Path:
    """Return scikit-learn's copy, without importing scikit-learn, which takes seconds."""
    found = find_spec("sklearn")
    if found is not None and found.origin is not None:
        path = Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"
        if path.is_file():
            return path
    raise RequestError(
        Problem(
            "task.data",
            "the digits come with scikit-learn, which is not installed here.",
            "Install it with: pip install scikit-learn",
        )
    )
