"""What tasks of texts share: splits read once, a tokenizer, rows of tokens, batches of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, runtime_checkable

from edgekd.core.config import Config, Count, PositiveCount
from edgekd.core.errors import Problem
from edgekd.core.protocols.source import Source
from edgekd.core.protocols.values import Batch, Split
from edgekd.core.refs import UseSource
from edgekd.core.signature import Port, Signature
from edgekd.tasks.asking import SPLITS, check_few, examine_all
from edgekd.tasks.tokenizer import Tokenizer, TokenizerOptions

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from edgekd.tasks.token_rows import TokenRows


class TextOptions(Config):
    """Which texts, and how a model sees them."""

    data: UseSource
    """Where the texts come from."""
    tokenizer: TokenizerOptions = TokenizerOptions()
    """How a text becomes tokens."""
    max_length: PositiveCount = 128
    """Tokens of a row: what a text has more is cut off, what it has less is filled up."""
    train_examples: PositiveCount | None = None
    """Learn from this many texts only, drawn by chance; fewer are always among more."""
    train_seed: Count = 0
    """Seed of that draw; the seed of the run does not move it."""


@runtime_checkable
class SplitOfTexts(Sized, Protocol):
    """One split, read into memory."""

    @property
    def text(self) -> Sequence[str]:
        """The texts."""

    def fewer(self: T, count: int, seed: int) -> T:
        """Return the first `count` of a shuffle."""

    def rows(self, tokenizer: Tokenizer) -> TokenRows:
        """Return the texts as a model takes them."""


T = TypeVar("T", bound=SplitOfTexts)


class TextTask(ABC, Generic[T]):
    """Reads a source's texts and gives rows of token numbers, in memory.

    A task says how a split is read (`_load`), and where training takes more than one text, how
    many (`_fewest`).
    """

    def __init__(self, options: TextOptions):
        self.options = options
        self.source: Source = options.data.build()
        self._read: dict[Split, T] = {}
        self._rows: dict[Split, TokenRows] = {}

    def files(self) -> Sequence[Path]:
        """Return the files of the source and the tokenizer's; RequestError where one is missing."""
        return (*self.source.files(), *self.options.tokenizer.files())

    def check(self) -> Iterator[Problem]:
        """Yield what can be told to be wrong before the texts are tokenized."""
        check, count = self._asked("check"), self._asked("count")
        found = list(check()) if check else []
        yield from found
        if not found:
            there = count("train") if count else None
            yield from check_few(self.options.train_examples, there, self._fewest(), "texts")

    def audit(self) -> Sequence[str]:
        """Read all splits; RequestError with every fault that makes one of them useless."""
        examine_all(self._examine)
        return []

    def expected_size(self, split: Split) -> int | None:
        """Return the number of texts before any is tokenized; None where the source cannot tell."""
        count = self._asked("count")
        if count is None:
            return None
        fewer = self.options.train_examples if split == "train" else None
        return int(count(split)) if fewer is None else min(fewer, int(count(split)))

    def expected_bytes(self) -> int | None:
        """Return what the rows of all splits take in memory; None where the source cannot tell."""
        sizes = [self.expected_size(split) for split in SPLITS]
        return None if None in sizes else 4 * self.options.max_length * sum(filter(None, sizes))

    def companions(self) -> Mapping[str, bytes]:
        """Return the tokenizer's file, which an app needs beside the program."""
        return self._tokenizer.companions()

    def size(self, split: Split) -> int:
        """Return the number of texts."""
        return len(self._texts(split))

    def batches(
        self,
        split: Split,
        batch_size: int,
        *,
        device: torch.device,
        rng: torch.Generator | None = None,
        part: tuple[int, int] = (0, 1),
        start: int = 0,
        among: Tensor | None = None,
    ) -> Iterator[Batch]:
        """Yield `input_ids`, `attention_mask`, `ids` and the split's own columns, as `labels`.

        See `core.protocols.task.Task`.
        """
        if split not in self._rows:
            self._rows[split] = self._texts(split).rows(self._tokenizer)
        passed = self._rows[split].batches
        return passed(batch_size, device=device, rng=rng, part=part, start=start, among=among)

    @abstractmethod
    def _load(self, split: Split) -> T:
        """Return a split of the source; RequestError where it is of no use."""

    def _fewest(self) -> int:
        """Return how many training texts there must be."""
        return 1

    def _examine(self, split: Split) -> None:
        """Raise RequestError where a split is of no use."""
        self._texts(split)

    def _signature(self, output: Port) -> Signature:
        """Return rows of tokens to `output`."""
        from edgekd.tasks.token_rows import SEQUENCE, ports

        path, length = self.options.tokenizer.path, self.options.max_length
        entries = Tokenizer.read(path, length).entries if path else self.options.tokenizer.entries
        return Signature(ports(entries), (output,), most=((SEQUENCE, length),))

    def _asked(self, name: str) -> Callable[..., Any] | None:
        """Return a method that a source may have."""
        method = getattr(self.source, name, None)
        return method if callable(method) else None

    def _texts(self, split: Split) -> T:
        if split not in self._read:
            found, wanted = self._load(split), self.options.train_examples
            if split == "train" and wanted is not None:
                found = found.fewer(wanted, self.options.train_seed)
            self._read[split] = found
        return self._read[split]

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        options, length = self.options.tokenizer, self.options.max_length
        if options.path is not None:
            return Tokenizer.read(options.path, length)
        return Tokenizer.train(options, self._texts("train").text, length)
