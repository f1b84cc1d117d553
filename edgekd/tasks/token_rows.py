"""Texts of one split as rows of token numbers, in memory."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import torch
from jaxtyping import Int32
from torch import Tensor

from edgekd.core.errors import Problem, RequestError
from edgekd.core.protocols.values import Arrays, Batch, Split
from edgekd.core.signature import Port
from edgekd.ops.batches import batch_ids
from edgekd.tasks.columns import faults_of_labels, problem, some
from edgekd.tasks.moving import moved
from edgekd.tasks.survey import DIGEST, Digests
from edgekd.tasks.tokenizer import Tokenizer

Rows = Int32[Tensor, "n length"]
Lengths = Int32[Tensor, " n"]
IDS, MASK = "input_ids", "attention_mask"
SEQUENCE = "sequence"
"""The dimension along a text: a program may take shorter ones."""


def ports(entries: int) -> tuple[Port, Port]:
    """Return the inputs of a model of texts: token numbers, and 1 where they are no filling."""
    shape = ("batch", SEQUENCE)
    return Port(IDS, "int64", shape, entries), Port(MASK, "int64", shape, 2)


@dataclass(frozen=True)
class TokenRows:
    """One split; its columns, as `labels`, are by text."""

    row: Rows
    length: Lengths
    columns: Mapping[str, Tensor]

    @staticmethod
    def of(
        texts: Sequence[str], tokenizer: Tokenizer, columns: Mapping[str, Tensor]
    ) -> "TokenRows":
        """Return the rows of texts."""
        row, length = tokenizer.rows(texts)
        return TokenRows(torch.from_numpy(row), torch.from_numpy(length), columns)

    def __len__(self) -> int:
        return len(self.row)

    def batches(
        self,
        batch_size: int,
        *,
        device: torch.device,
        rng: torch.Generator | None,
        part: tuple[int, int],
        start: int,
        among: Tensor | None = None,
    ) -> Iterator[Batch]:
        """Yield batches on `device`, as long as the longest row may be; `ids` number the texts."""
        place = torch.arange(self.row.shape[1], device=device)
        for ids in batch_ids(len(self), batch_size, rng=rng, part=part, start=start, among=among):
            length = moved(self.length[ids], device)
            batch = {
                IDS: moved(self.row[ids], device).long(),
                MASK: (place < length[:, None]).long(),
            }
            batch |= {name: moved(column[ids], device) for name, column in self.columns.items()}
            yield {**batch, "ids": moved(ids, device)}


def digests_of(texts: Sequence[str]) -> Digests:
    """Return 128 bits of each text, to the letter."""
    codes = (text.encode("utf-8", "surrogatepass") for text in texts)
    return np.array([blake2b(code, digest_size=DIGEST).digest() for code in codes], f"S{DIGEST}")


def check_texts(columns: Arrays, split: Split, labels: Sequence[str] | None) -> list[str]:
    """Return the texts; RequestError with all that makes a split of no use.

    `labels` names the classes; None where a task needs none.
    """
    problems = list(_faults(columns, split, labels))
    if problems:
        raise RequestError(problems)
    texts: list[str] = columns["text"].tolist()
    return texts


def _faults(columns: Arrays, split: Split, labels: Sequence[str] | None) -> Iterator[Problem]:
    wanted = ("text",) if labels is None else ("text", "label")
    missing = [name for name in wanted if name not in columns]
    if missing:
        yield problem(
            f"{split} has no column {' and no '.join(missing)}; "
            f"it has {', '.join(columns) or 'none'}.",
            f"Take a source that gives {' and '.join(wanted)}.",
        )
        return
    texts = columns["text"]
    sizes = {name: len(column) for name, column in columns.items()}
    if len({*sizes.values()}) > 1:
        found = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
        yield problem(f"{split} has columns of different lengths: {found}.", "Make them equal.")
        return
    if not len(texts):
        yield problem(f"{split} is empty.", "Give it texts, or a larger share of the data.")
        return
    bad = [i for i, text in enumerate(texts) if not isinstance(text, str) or not text.strip()]
    if bad:
        yield problem(
            f"{split} has texts that are empty or none: {some(bad)} of {len(texts):,}.",
            "Mend or remove them.",
        )
    if labels is not None and len(labels) < 2:
        yield problem(f"there are {len(labels)} classes.", "A classifier needs at least two.")
    elif labels is not None:
        yield from faults_of_labels(columns["label"], split, labels, "texts")
