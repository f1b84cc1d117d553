"""Pictures that stand twice in the data: in two splits, or under two labels."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from edgekd.core.protocols import Split
from edgekd.tasks.columns import SHOWN
from edgekd.tasks.survey import Classes, Digests

SILENCE = "task.duplicates: allow"

Indices = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Known:
    """The pictures of one split, by what they show to the last bit."""

    split: Split
    digests: Digests
    """128 bits of each picture."""
    classes: Classes
    """The label of each picture."""
    row_of: Callable[[int], int]
    """Gives the row of the source that an example is."""
    names: Sequence[str]
    """Names of the examples by row of the source; empty where it names none."""
    labels: Sequence[str]

    @cached_property
    def kinds(self) -> "Kinds":
        """The different pictures."""
        order = np.argsort(self.digests, kind="stable")
        ordered = self.digests[order]
        new = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        classes = self.classes[order]
        lowest, highest = np.minimum.reduceat(classes, new), np.maximum.reduceat(classes, new)
        return Kinds(order, ordered[new], new, lowest, highest)

    def shown(self, index: int, *, label: bool) -> str:
        """Return how people find an example: `train 17 (cat)`, or its file."""
        name = self.names[self.row_of(index)] if self.names else f"{self.split} {index}"
        return f"{name} ({self.labels[self.classes[index]]})" if label else name


@dataclass(frozen=True)
class Kinds:
    """The different pictures of a split, in the order of their digests."""

    order: Indices
    """The ids of all, those that show the same beside each other and ascending."""
    digest: Digests
    first: Indices
    """Where each begins in that order."""
    lowest: Classes
    """Least and greatest label that each stands under."""
    highest: Classes

    def find(self, digests: Digests) -> Indices:
        """Return the number of each of these pictures here; -1 where it is not among them."""
        place = np.searchsorted(self.digest, digests)
        place[place == len(self.digest)] = 0
        return np.where(self.digest[place] == digests, place, -1)

    def ids(self, kind: int) -> Sequence[int]:
        """Return the ids that show it, ascending."""
        end = self.first[kind + 1] if kind + 1 < len(self.first) else len(self.order)
        ids: list[int] = self.order[self.first[kind] : end].tolist()
        return ids


def find_twins(splits: Sequence[Known]) -> Iterator[str]:
    """Yield what stands twice, a sentence per pair of splits and per split; mostly nothing."""
    for first, second in combinations(splits, 2):
        yield from _across(first, second)
    for known in splits:
        yield from _within(known)


def _across(first: Known, second: Known) -> Iterator[str]:
    kinds, place = first.kinds, first.kinds.find(second.digests)
    found = np.flatnonzero(place >= 0)
    if not len(found):
        return
    own, there = second.classes[found], place[found]
    other = (kinds.lowest[there] != own) | (kinds.highest[there] != own)
    some = (column[:SHOWN].tolist() for column in (found, there, other))
    examples = [
        f"{second.shown(index, label=odd)} is {first.shown(kinds.ids(kind)[0], label=odd)}"
        for index, kind, odd in zip(*some, strict=True)
    ]
    labels = f", {other.sum():,} of them with another label" if other.any() else ""
    yield (
        f"{len(found):,} of {len(second.digests):,} {second.split} pictures are in {first.split} "
        f"too{labels}: {_listed(examples, len(found))}. A score on pictures that choices were made "
        f"with is too good: remove them from one split. {SILENCE} silences this."
    )


def _within(known: Known) -> Iterator[str]:
    """Yield that one picture has several labels: no model can have them all right."""
    kinds = known.kinds
    torn = np.flatnonzero(kinds.lowest != kinds.highest)
    if len(torn):
        seen_first = torn[np.argsort(kinds.order[kinds.first[torn]])]
        examples = [
            " is ".join(known.shown(index, label=True) for index in kinds.ids(kind)[:3])
            for kind in seen_first[:SHOWN].tolist()
        ]
        yield (
            f"{len(torn):,} {known.split} pictures stand there under different labels: "
            f"{_listed(examples, len(torn))}. At most one label of each is right: mend or remove "
            f"them. {SILENCE} silences this."
        )


def _listed(examples: Sequence[str], count: int) -> str:
    return ", ".join(examples) + (", ..." if count > len(examples) else "")
