"""Pictures that stand twice in the data: in two splits, or under two labels."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from itertools import combinations

from edgekd.core.protocols import Split
from edgekd.tasks.columns import SHOWN
from edgekd.tasks.pictures import Pictures

SILENCE = "task.duplicates: allow"


@dataclass(frozen=True)
class Known:
    """The pictures of one split, by what they show to the last bit."""

    split: Split
    pictures: Pictures
    names: Sequence[str]
    """Names of the examples by row of the source; empty where it names none."""
    labels: Sequence[str]

    @cached_property
    def digests(self) -> Sequence[bytes]:
        """128 bits of each picture."""
        rows = self.pictures.image.flatten(1).numpy()
        return [blake2b(row, digest_size=16).digest() for row in rows]

    @cached_property
    def places(self) -> Mapping[bytes, Sequence[int]]:
        """The ids that show each picture, ascending."""
        found: dict[bytes, list[int]] = {}
        for index, digest in enumerate(self.digests):
            found.setdefault(digest, []).append(index)
        return found

    @cached_property
    def classes(self) -> Sequence[int]:
        """The label of each picture."""
        return [int(label) for label in self.pictures.label.tolist()]

    def shown(self, index: int, *, label: bool) -> str:
        """Return how people find an example: `train 17 (cat)`, or its file."""
        row = int(self.pictures.row[index])
        name = self.names[row] if self.names else f"{self.split} {index}"
        return f"{name} ({self.labels[self.classes[index]]})" if label else name


def find_twins(splits: Sequence[Known]) -> Iterator[str]:
    """Yield what stands twice, a sentence per pair of splits and per split; mostly nothing."""
    for first, second in combinations(splits, 2):
        yield from _across(first, second)
    for known in splits:
        yield from _within(known)


def _across(first: Known, second: Known) -> Iterator[str]:
    pairs = [
        (index, first.places[digest])
        for index, digest in enumerate(second.digests)
        if digest in first.places
    ]
    if not pairs:
        return
    other = [
        any(first.classes[twin] != second.classes[index] for twin in twins)
        for index, twins in pairs
    ]
    examples = [
        f"{second.shown(index, label=odd)} is {first.shown(twins[0], label=odd)}"
        for (index, twins), odd in zip(pairs[:SHOWN], other, strict=False)
    ]
    labels = f", {sum(other):,} of them with another label" if any(other) else ""
    yield (
        f"{len(pairs):,} of {len(second.digests):,} {second.split} pictures are in {first.split} "
        f"too{labels}: {_listed(examples, len(pairs))}. A score on pictures that choices were made "
        f"with is too good: remove them from one split. {SILENCE} silences this."
    )


def _within(known: Known) -> Iterator[str]:
    """Yield that one picture has several labels: no model can have them all right."""
    torn = [
        places
        for places in known.places.values()
        if len(places) > 1 and len({known.classes[index] for index in places}) > 1
    ]
    if torn:
        examples = [
            " is ".join(known.shown(index, label=True) for index in places[:3])
            for places in torn[:SHOWN]
        ]
        yield (
            f"{len(torn):,} {known.split} pictures stand there under different labels: "
            f"{_listed(examples, len(torn))}. At most one label of each is right: mend or remove "
            f"them. {SILENCE} silences this."
        )


def _listed(examples: Sequence[str], count: int) -> str:
    return ", ".join(examples) + (", ..." if count > len(examples) else "")
