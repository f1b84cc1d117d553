"""`sweep:` in a file: a stage becomes trials, one for each row of values."""

import math
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from edgekd.core.config import Config
from edgekd.core.errors import Problem, RequestError, nearest
from edgekd.pipeline.document import Document, Steps, parse_path, with_value

LONGEST_SETTING = 60
Row = tuple[tuple[str, Any, Steps], ...]
"""What a trial sets: path, value, and where the file says it."""


class Sweep(Config):
    """Which values the trials of a stage take; paths as in `train.learning_rate`."""

    grid: (
        Annotated[dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]], Field(min_length=1)]
        | None
    ) = None
    """Values by path; every combination is a trial."""
    list: (
        Annotated[tuple[Annotated[dict[str, Any], Field(min_length=1)], ...], Field(min_length=1)]
        | None
    ) = None
    """Trials one by one, each a mapping of paths to values."""

    @model_validator(mode="after")
    def _one_of_both(self) -> "Sweep":
        if (self.grid is None) == (self.list is None):
            raise ValueError("expected either grid or list")
        return self

    def size(self) -> int:
        """Return the number of trials."""
        return math.prod(map(len, self.grid.values())) if self.grid else len(self.list or ())

    def rows(self, at: Steps) -> Iterator[Row]:
        """Yield what each trial sets; `at` is the way to the sweep itself."""
        if self.grid is not None:
            columns = [
                [(path, value, (*at, "grid", path, i)) for i, value in enumerate(values)]
                for path, values in self.grid.items()
            ]
            yield from product(*columns)
        for number, row in enumerate(self.list or ()):
            yield tuple((path, value, (*at, "list", number, path)) for path, value in row.items())


@dataclass(frozen=True)
class Trial:
    """One of the stages that a swept stage becomes."""

    of: str
    number: int
    setting: str
    """`train.learning_rate 0.01`."""

    @property
    def name(self) -> str:
        """The name of the stage."""
        return f"{self.of}.{self.number}"


def with_trials(document: Document, most: int) -> tuple[Document, list[Trial], list[Problem]]:
    """Return the document with trials in place of the stages that are swept, and what is wrong.

    What is no sweep by its form is left to the typed reading; more than `most` trials are refused.
    """
    stages, sweeps = document.value.get("stages"), document.value.get("sweep")
    if not isinstance(stages, dict) or not isinstance(sweeps, dict):
        return document, [], []
    problems: list[Problem] = []
    trials: list[Trial] = []
    for name, written in sweeps.items():
        sweep, wrong = _read(name, written, stages, document, most)
        problems += wrong
        if sweep is not None:
            document, made, wrong = _swept(document, name, sweep)
            trials += made
            problems += wrong
    return document, trials, problems


def _read(
    name: str, written: Any, stages: Mapping[str, Any], document: Document, most: int
) -> tuple[Sweep | None, list[Problem]]:
    at: Steps = ("sweep", name)
    if name not in stages:
        message = f"no stage is named '{name}'."
        return None, [document.problem(at, message, nearest(name, stages))]
    try:
        sweep = Sweep.model_validate(written)
    except ValidationError:
        return None, []
    if sweep.size() > most:
        message = f"these are {sweep.size():,} trials; a pipeline has at most {most} stages."
        step = "Give fewer values, or a list of the trials that matter."
        return None, [document.problem(at, message, step)]
    return sweep, []


def _swept(
    document: Document, name: str, sweep: Sweep
) -> tuple[Document, list[Trial], list[Problem]]:
    """Return the document with a stage's trials in its place."""
    base = document.value["stages"][name]
    made: dict[str, Any] = {}
    trials: list[Trial] = []
    origins: dict[Steps, Steps] = {}
    problems: list[Problem] = []
    for number, row in enumerate(sweep.rows(("sweep", name)), 1):
        trial = Trial(name, number, _setting(row))
        value = base
        origins["stages", trial.name] = ("stages", name)
        for path, new, at in row:
            try:
                steps = parse_path(path, path)
                value = with_value(value, steps, new, path, ("stages", name))
            except RequestError as error:
                problems += [document.problem(at, p.message, p.next_step) for p in error.problems]
                continue
            new_from = _depth(base, steps)
            for end in range(new_from, len(steps) + 1):
                origins["stages", trial.name, *steps[:end]] = at
        made[trial.name] = value
        trials.append(trial)
    stages: dict[str, Any] = {}
    for one, value in document.value["stages"].items():
        stages |= made if one == name else {one: value}
    whole = replace(document, value=document.value | {"stages": stages})
    return whole.with_origins(origins), trials, problems


def _depth(value: Any, steps: Steps) -> int:
    """Return how many steps lead to the first that is not written in a value, else to the last."""
    for depth, step in enumerate(steps[:-1], 1):
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return depth
    return len(steps)


def _setting(row: Row) -> str:
    text = ", ".join(f"{path} {_brief(value)}" for path, value, _ in row)
    return textwrap.shorten(text, LONGEST_SETTING, placeholder=" ...")


def _brief(value: Any) -> str:
    """Return a value in few words: a plug-in is its kind and its options."""
    if isinstance(value, Mapping):
        rest = [f"{key} {_brief(item)}" for key, item in value.items() if key != "kind"]
        return " ".join([*([str(value["kind"])] if "kind" in value else []), *rest])
    if isinstance(value, tuple):
        return " + ".join(map(_brief, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
