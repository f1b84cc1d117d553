"""Labelled texts of one split, in memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from edgekd.core.protocols.source import Source
from edgekd.core.protocols.values import Split
from edgekd.tasks.few import drawn
from edgekd.tasks.token_rows import TokenRows, check_texts, digests_of
from edgekd.tasks.tokenizer import Tokenizer
from edgekd.tasks.twins import Known, Sorted, find_twins

Numbers = Int64[Tensor, " n"]


@dataclass(frozen=True)
class LabelledTexts:
    """One split."""

    text: Sequence[str]
    label: Numbers
    row: Numbers | None = None
    """Number of each text in the source's split, where these are not all of it."""

    def __len__(self) -> int:
        return len(self.text)

    def row_of(self, index: int) -> int:
        """Return the number in the source's split of the text with this id."""
        return index if self.row is None else int(self.row[index])

    def fewer(self, count: int, seed: int) -> "LabelledTexts":
        """Return the first `count` of a shuffle."""
        chosen = drawn(len(self), count, seed)
        return LabelledTexts([self.text[i] for i in chosen.tolist()], self.label[chosen], chosen)

    def rows(self, tokenizer: Tokenizer) -> TokenRows:
        """Return the texts as a model takes them."""
        return TokenRows.of(self.text, tokenizer, {"labels": self.label})


def load(source: Source, split: Split) -> LabelledTexts:
    """Return a split, read into memory; RequestError where it is of no use to a classifier."""
    columns = source.load(split)
    texts = check_texts(columns, split, source.labels)
    return LabelledTexts(texts, torch.from_numpy(columns["label"].astype("int64")))


def find_twin_texts(
    splits: Mapping[Split, LabelledTexts],
    names: Callable[[Split], Sequence[str]],
    labels: Sequence[str],
) -> Iterator[str]:
    """Yield which texts stand in two splits, or under two labels; mostly nothing."""
    return find_twins(
        [
            Known(
                split,
                Sorted.of(digests_of(found.text)),
                found.label.numpy(),
                found.row_of,
                names(split),
                labels,
                "texts",
            )
            for split, found in splits.items()
        ]
    )
