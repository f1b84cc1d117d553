"""Examples that stand twice in the data: in two splits, or under two labels."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from edgekd.core.protocols.values import Split
from edgekd.tasks.columns import SHOWN
from edgekd.tasks.survey import Classes, Digests

SILENCE = "task.duplicates: allow"

Indices = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Sorted:
    """The examples of a split in the order of their digests: 24 bytes of each."""

    digest: Digests
    order: Indices
    """The id of each; of those that show the same, ascending."""

    @staticmethod
    def of(digests: Digests) -> "Sorted":
        """Return examples by their digests, which are numbered by id."""
        order = np.argsort(digests, kind="stable")
        return Sorted(digests[order], order)

    def find(self, digests: Digests) -> Indices:
        """Return where the first that shows each of these is; -1 where none does."""
        place = np.searchsorted(self.digest, digests)
        place[place == len(self.digest)] = 0
        place[self.digest[place] != digests] = -1
        return place

    def ids(self, place: int) -> Indices:
        """Return the ids of all that show what the first of them shows."""
        end = np.searchsorted(self.digest, self.digest[place], side="right")
        return self.order[place:end]

    def repeated(self) -> Sequence[int]:
        """Return where the first is of each that stands there more than once."""
        same = self.digest[1:] == self.digest[:-1]
        places: list[int] = np.flatnonzero(same & ~np.r_[False, same[:-1]]).tolist()
        return places


@dataclass(frozen=True)
class Known:
    """The examples of one split, by what they show to the last bit."""

    split: Split
    examples: Sorted
    classes: Classes
    """The label of each."""
    row_of: Callable[[int], int]
    """Gives the row of the source that an example is."""
    names: Sequence[str]
    """Names of the examples by row of the source; empty where it names none."""
    labels: Sequence[str]
    what: str
    """What the examples are, as `pictures`."""

    def shown(self, index: int, *, label: bool) -> str:
        """Return how people find an example: `train 17 (cat)`, or its file."""
        name = self.names[self.row_of(index)] if self.names else f"{self.split} {index}"
        return f"{name} ({self.labels[self.classes[index]]})" if label else name

    def classes_of(self, place: int) -> tuple[int, int]:
        """Return the least and the greatest label of all that show what one shows."""
        found = self.classes[self.examples.ids(place)]
        return int(found.min()), int(found.max())


def find_twins(splits: Sequence[Known]) -> Iterator[str]:
    """Yield what stands twice, a sentence per pair of splits and per split; mostly nothing."""
    for first, second in combinations(splits, 2):
        yield from _across(first, second)
    for known in splits:
        yield from _within(known)


def _across(first: Known, second: Known) -> Iterator[str]:
    place = first.examples.find(second.examples.digest)
    hit = np.flatnonzero(place >= 0)
    if not len(hit):
        return
    by_id = hit[np.argsort(second.examples.order[hit])]
    found, there = second.examples.order[by_id], place[by_id]
    different, number = np.unique(there, return_inverse=True)
    span = np.array([first.classes_of(one) for one in different.tolist()])[number]
    other = (span != second.classes[found][:, None]).any(1)
    some = (column[:SHOWN].tolist() for column in (found, there, other))
    examples = [
        f"{second.shown(index, label=odd)} is "
        f"{first.shown(int(first.examples.order[twin]), label=odd)}"
        for index, twin, odd in zip(*some, strict=True)
    ]
    labels = f", {other.sum():,} of them with another label" if other.any() else ""
    yield (
        f"{len(found):,} of {len(second.classes):,} {second.split} {second.what} are in "
        f"{first.split} too{labels}: {_listed(examples, len(found))}. A score on {second.what} "
        f"that choices were made with is too good: remove them from one split. "
        f"{SILENCE} silences this."
    )


def _within(known: Known) -> Iterator[str]:
    """Yield that one picture has several labels: no model can have them all right."""
    spans = ((place, *known.classes_of(place)) for place in known.examples.repeated())
    torn = [known.examples.ids(place) for place, lowest, highest in spans if lowest != highest]
    if torn:
        torn.sort(key=lambda ids: int(ids[0]))
        examples = [
            " is ".join(known.shown(index, label=True) for index in ids[:3].tolist())
            for ids in torn[:SHOWN]
        ]
        yield (
            f"{len(torn):,} {known.split} {known.what} stand there under different labels: "
            f"{_listed(examples, len(torn))}. At most one label of each is right: mend or remove "
            f"them. {SILENCE} silences this."
        )


def _listed(examples: Sequence[str], count: int) -> str:
    return ", ".join(examples) + (", ..." if count > len(examples) else "")
