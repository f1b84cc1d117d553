"""Find what belongs together: one row of tokens in, one vector per text out; no labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekd.core.config import Config, Count, PositiveCount
from edgekd.core.errors import Problem, RequestError
from edgekd.core.kinds import task
from edgekd.core.protocols import Batch, Facts, Source, Split
from edgekd.core.refs import UseSource
from edgekd.core.signature import Port, Signature
from edgekd.tasks.asking import check_few
from edgekd.tasks.tokenizer import Tokenizer, TokenizerOptions

if TYPE_CHECKING:
    import torch

    from edgekd.tasks.paired_texts import PairedTexts
    from edgekd.tasks.token_rows import TokenRows

ANSWERS = "answers"
"""The column of a source that has pairs."""
SPLITS: Sequence[Split] = ("train", "validation", "test")


class SentenceEmbeddingOptions(Config):
    """Which texts, how a model sees them, and how wide its vectors are."""

    data: UseSource
    """Where the texts come from. Where a source has no pairs, texts of validation and test are cut
    in two, and the first half asks for the second."""
    tokenizer: TokenizerOptions = TokenizerOptions()
    """How a text becomes tokens; those of the teacher, where there is one."""
    max_length: PositiveCount = 128
    """Tokens of a row: what a text has more is cut off, what it has less is filled up."""
    dimensions: PositiveCount = 384
    """Numbers of a vector."""
    train_examples: PositiveCount | None = None
    """Learn from this many texts only, drawn by chance; fewer are always among more."""
    train_seed: Count = 0
    """Seed of that draw; the seed of the run does not move it."""


@task(config=SentenceEmbeddingOptions, distributions=("tokenizers",))
class SentenceEmbedding:
    """Texts as rows of token numbers, in memory, scored by who finds whom."""

    quality: Sequence[str] = ("recall_at_1", "recall_at_10")

    def __init__(self, options: SentenceEmbeddingOptions):
        self.options = options
        self.source: Source = options.data.build()
        self._read: dict[Split, PairedTexts] = {}
        self._rows: dict[Split, TokenRows] = {}

    def signature(self) -> Signature:
        """Return `input_ids` and `attention_mask`, int64 [batch, sequence], to `embedding`."""
        from edgekd.tasks.token_rows import SEQUENCE, ports

        path, length = self.options.tokenizer.path, self.options.max_length
        entries = Tokenizer.read(path, length).entries if path else self.options.tokenizer.entries
        return Signature(
            ports(entries),
            (Port("embedding", "float32", ("batch", self.options.dimensions)),),
            most=((SEQUENCE, length),),
        )

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
            yield from check_few(self.options.train_examples, there, 1, "texts")

    def audit(self) -> Sequence[str]:
        """Read all splits; RequestError with every fault that makes one of them useless."""
        problems: list[Problem] = []
        for split in SPLITS:
            try:
                self._texts(split)
            except RequestError as error:
                problems += [p for p in error.problems if p not in problems]
        if problems:
            raise RequestError(problems)
        return []

    def expected_size(self, split: Split) -> int | None:
        """Return the number of texts before any is tokenized; None where the source cannot tell."""
        count = self._asked("count")
        if count is None or (split != "train" and ANSWERS not in self.source.shapes):
            return None
        fewer = self.options.train_examples if split == "train" else None
        return int(count(split)) if fewer is None else min(fewer, int(count(split)))

    def expected_bytes(self) -> int | None:
        """Return what the rows of all splits take in memory; None where the source cannot tell."""
        sizes = [self.expected_size(split) for split in SPLITS]
        return None if None in sizes else 4 * self.options.max_length * sum(filter(None, sizes))

    def facts(self) -> Facts:
        """Return all that turns a text into the model's input."""
        return {"preprocessing": {"input": "text", **self._tokenizer.facts()}}

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
    ) -> Iterator[Batch]:
        """Yield `input_ids`, `attention_mask`, `ids` and, but for train, `answers`."""
        if split not in self._rows:
            self._rows[split] = self._texts(split).rows(self._tokenizer)
        passed = self._rows[split].batches
        return passed(batch_size, device=device, rng=rng, part=part, start=start)

    def _asked(self, name: str) -> Callable[..., Any] | None:
        """Return a method that a source may have."""
        method = getattr(self.source, name, None)
        return method if callable(method) else None

    def _texts(self, split: Split) -> PairedTexts:
        from edgekd.tasks.paired_texts import load

        if split not in self._read:
            found = load(self.source, split)
            wanted = self.options.train_examples
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
