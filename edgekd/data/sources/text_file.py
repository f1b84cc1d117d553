"""Your own texts with their classes: a CSV, TSV, JSON-lines or Parquet file, or one per split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from edgekd.core.config import Config, Count, LocalPath
from edgekd.core.errors import Problem, RequestError
from edgekd.core.kinds import source
from edgekd.core.protocols.values import Arrays, Split
from edgekd.data.tables import check_table, read_table
from edgekd.data.texts import SHAPES, Texts, divide, listed

OfTrain = Annotated[float, Field(gt=0, lt=1)]


class TextFileOptions(Config):
    """Which files, and which columns of them."""

    train: LocalPath
    """A .csv, .tsv, .jsonl or .parquet file (pip install 'edgekd[parquet]') in UTF-8; the first
    line of a .csv or .tsv names the columns."""
    validation: OfTrain | LocalPath = 0.1
    """Such a file, or the share of `train` that is set apart for choices."""
    test: OfTrain | LocalPath = 0.1
    """Such a file, or the share of `train` that gates and reports use, and nothing else."""
    text: str = "text"
    """Column of the texts."""
    label: str | None = "label"
    """Column of the classes' names; null where a task needs none."""
    seed: Count = 0
    """Seed of the order and of the division; the seed of the run does not move it."""

    @model_validator(mode="after")
    def _leaves_something_to_train_on(self) -> TextFileOptions:
        shares = [s for s in (self.validation, self.test) if not isinstance(s, str)]
        if sum(shares) >= 1:
            raise ValueError(f"validation and test are {sum(shares)} of train: nothing is left")
        return self


@source(config=TextFileOptions)
class TextFile:
    """Texts in the order of a shuffle, with the classes in equal shares."""

    def __init__(self, options: TextFileOptions):
        self.options = options
        named = options.label is not None
        self.shapes: Mapping[str, tuple[int, ...]] = SHAPES if named else {"text": ()}

    @cached_property
    def labels(self) -> Sequence[str]:
        """Names of the classes in `train`, sorted."""
        return self._read["train"].classes()

    def files(self) -> Sequence[Path]:
        """Return the files; RequestError where one is missing or without such columns."""
        problems = [p for path in self._files.values() for p in check_table(path, self._columns)]
        if problems:
            raise RequestError(problems)
        return tuple(self._files.values())

    def check(self) -> Iterator[Problem]:
        """Yield what is wrong with the texts; they are all read."""
        try:
            self._splits  # noqa: B018  # reading is what finds it
        except RequestError as error:
            yield from error.problems

    def count(self, split: Split) -> int:
        """Return the number of texts."""
        return len(self._splits[split])

    def names(self, split: Split) -> Sequence[str]:
        """Return where each text is: `mails.csv:17`."""
        return self._splits[split].place

    def load(self, split: Split) -> Arrays:
        """Return `text` [n] and, where a column has them, `label` int64 [n]."""
        return self._splits[split].columns(self.labels)

    @property
    def _columns(self) -> Sequence[str]:
        label = self.options.label
        return (self.options.text,) if label is None else (self.options.text, label)

    @property
    def _files(self) -> dict[Split, Path]:
        own: dict[Split, object] = {
            "train": self.options.train,
            "validation": self.options.validation,
            "test": self.options.test,
        }
        return {split: Path(path) for split, path in own.items() if isinstance(path, str)}

    @cached_property
    def _read(self) -> dict[Split, Texts]:
        """Return the texts of every file; RequestError with all that is wrong with them."""
        found: dict[Split, Texts] = {}
        problems: list[Problem] = []
        for split, path in self._files.items():
            try:
                found[split] = self._texts(path)
            except RequestError as error:
                problems += error.problems
        if problems:
            raise RequestError(problems)
        return found

    @cached_property
    def _splits(self) -> dict[Split, Texts]:
        shares = {
            name: share
            for name in ("validation", "test")
            if not isinstance(share := getattr(self.options, name), str)
        }
        read, seed = self._read, self.options.seed
        own = {split: divide(read[split], seed=seed)["train"] for split in read if split != "train"}
        return divide(read["train"], **shares, seed=seed) | own

    def _texts(self, path: Path) -> Texts:
        """Return the texts of a file; RequestError names the rows without text or class."""
        table = read_table(path, self._columns)
        if not table.places:
            raise RequestError(_problem(f"{path} has no rows.", "Give it texts."))
        for name in self._columns:
            bad = [
                place
                for place, value in zip(table.places, table.columns[name], strict=True)
                if not _is_something(value, name == self.options.text)
            ]
            if bad:
                what = "text" if name == self.options.text else "class (a text or a whole number)"
                message = f"the column '{name}' of {path} has no {what} in {listed(bad)} rows."
                raise RequestError(_problem(message, "Mend or remove them."))
        text = [str(value) for value in table.columns[self.options.text]]
        label = self.options.label and [str(v) for v in table.columns[self.options.label]]
        return Texts(text, label or None, table.places)


def _is_something(value: object, is_text: bool) -> bool:
    """Tell whether a value is a text, or names a class: a text, a number, true or false."""
    kinds = str if is_text else str | int
    return isinstance(value, kinds) and bool(str(value).strip())


def _problem(message: str, next_step: str) -> Problem:
    return Problem("task.data", message, next_step)
