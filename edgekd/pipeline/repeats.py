"""What rests on a swept stage: made again for each trial, or given all of them as a list.

A stage that names a swept one as a single value is repeated for each trial; where a list of stages
stands, all trials take the place of one. So an export is repeated, and one `validate` measures all
of them in turns beside a reference that is measured once.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from pydantic import ValidationError

from edgekd.core.errors import Problem
from edgekd.core.member import Member
from edgekd.core.refs import Ref, UseStage, as_read, as_written, refs_of, rewired
from edgekd.pipeline.document import Document
from edgekd.pipeline.family import Family
from edgekd.pipeline.trials import Trial

Choice = Mapping[str, int]
"""The number of a trial for each swept stage that something rests on."""


def with_repeats(
    stages: Mapping[str, UseStage], trials: Sequence[Trial], most: int, document: Document
) -> tuple[Family, list[Problem]]:
    """Return the stages with all that trials make of them; what is wrong with that."""
    if not trials:
        return Family(dict(stages)), []
    repeats = _Repeats(stages, {trial.name: trial for trial in trials})
    count = sum(math.prod(map(repeats.size, repeats.around(name))) for name in stages)
    if count > most:
        message = f"with the trials of all sweeps these are {count:,} stages; {most} are the most."
        return Family(dict(stages)), [document.problem(("sweep",), message, "Give fewer values.")]
    family = Family({})
    for name, use in stages.items():
        for choice in repeats.choices(repeats.around(name)):
            repeats.add(family, name, use, choice)
    return family, list(_check(family, stages, document))


def _check(
    family: Family, written: Mapping[str, UseStage], document: Document
) -> Iterator[Problem]:
    """Yield what is wrong with lists only now that all trials stand in them."""
    for name, use in family.stages.items():
        _, base = family.origins.get(("stages", name), ("stages", name))
        if use.options != written[str(base)].options:
            try:
                type(use.options).model_validate(as_read(as_written(use.options)))
            except ValidationError as error:
                message = error.errors()[0]["msg"].removeprefix("Value error, ")
                yield document.problem(("stages", name), f"{message}.", "Name each trial once.")


@dataclass(frozen=True)
class _Repeats:
    stages: Mapping[str, UseStage]
    trials: Mapping[str, Trial]

    def of(self, swept: str) -> list[Trial]:
        return [trial for trial in self.trials.values() if trial.of == swept]

    def size(self, swept: str) -> int:
        return len(self.of(swept))

    def choices(self, swept: Sequence[str]) -> Iterator[Choice]:
        """Yield every choice of one trial of each swept stage."""
        for row in product(*(self.of(name) for name in swept)):
            yield {trial.of: trial.number for trial in row}

    def around(self, name: str, above: frozenset[str] = frozenset()) -> list[str]:
        """Return the swept stages for whose trials a stage is repeated, in the file's order.

        A trial is not repeated for its own sweep. A cycle is passed over: it is told elsewhere.
        """
        if name in above or name not in self.stages:
            return []
        found: set[str] = set()
        for path, ref in refs_of(self.stages[name].options):
            if not isinstance(path[-1], int):
                found.update(self.under(ref.stage, above | {name}))
        own = self.trials[name].of if name in self.trials else ""
        return [s for s in dict.fromkeys(t.of for t in self.trials.values()) if s in found - {own}]

    def under(self, name: str, above: frozenset[str] = frozenset()) -> list[str]:
        """Return the swept stages that a reference leaves open, in the file's order."""
        trials = self.of(name)
        found = {s for one in trials for s in self.around(one.name, above)}
        found |= {name} if trials else {*self.around(name, above)}
        return [s for s in dict.fromkeys(t.of for t in self.trials.values()) if s in found]

    def called(self, name: str, choice: Choice) -> str:
        """Return what a stage is called where trials are chosen."""
        one = f"{name}.{choice[name]}" if self.of(name) else name
        return ".".join([one, *(str(choice[swept]) for swept in self.around(one))])

    def add(self, family: Family, name: str, use: UseStage, choice: Choice) -> None:
        """Put a stage with its references into the family, as a member of its group."""
        own = self.trials.get(name)
        chosen = {**choice, own.of: own.number} if own else choice
        called = self.called(name, choice)
        family.stages[called] = use.model_copy(update={"options": self.wired(use.options, chosen)})
        if called != name:
            family.origins["stages", called] = ("stages", name)
        if own or choice:
            others = [self.trials[f"{swept}.{number}"] for swept, number in choice.items()]
            family.members[called] = _member(name, called, own, others)

    def wired(self, options: Any, choice: Choice) -> Any:
        """Return options whose references lead to the chosen trials; lists take all the others."""

        def lead(ref: Ref, also: Choice | None = None) -> Ref:
            return replace(ref, stage=self.called(ref.stage, {**choice, **(also or {})}))

        def gather(ref: Ref) -> Iterator[Ref]:
            for more in self.choices([s for s in self.under(ref.stage) if s not in choice]):
                yield lead(ref, more)

        return rewired(options, lead, gather)


def _member(name: str, called: str, own: Trial | None, others: Sequence[Trial]) -> Member:
    beside = [f"{trial.of} {trial.setting}" for trial in others]
    if own is None:
        setting = ", ".join(beside)
        of = "; ".join(f"trial {t.number} of {t.of}: {t.setting}" for t in others)
        return Member(name, called, setting, words=f"with {of}")
    words = [f"trial {own.number} of {own.of}: {own.setting}"]
    words += [f"with {trial.name}" for trial in others]
    return Member(own.of, called, ", ".join([own.setting, *beside]), words=" ".join(words))
