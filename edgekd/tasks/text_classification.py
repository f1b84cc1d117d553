"""Say what a text is about: one row of tokens in, one score per class out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

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

    from edgekd.tasks.texts import LabelledTexts
    from edgekd.tasks.token_rows import TokenRows

SPLITS: Sequence[Split] = ("train", "validation", "test")


class TextClassificationOptions(Config):
    """Which texts, and how a model sees them."""

    data: UseSource
    """Where the texts and their classes come from."""
    tokenizer: TokenizerOptions = TokenizerOptions()
    """How a text becomes tokens."""
    max_length: PositiveCount = 128
    """Tokens of a row: what a text has more is cut off, what it has less is filled up."""
    train_examples: PositiveCount | None = None
    """Learn from this many texts only, drawn by chance; fewer are always among more."""
    train_seed: Count = 0
    """Seed of that draw; the seed of the run does not move it."""
    duplicates: Literal["notice", "refuse", "allow"] = "notice"
    """What to do about the same text in two splits, or under two labels: say it, refuse to go on,
    or nothing. No result depends on it: a kept one stays whatever is said here."""


@task(
    config=TextClassificationOptions,
    judges=("duplicates",),
    distributions=("tokenizers",),
)
class TextClassification:
    """Texts as rows of token numbers, in memory; they cannot be streamed."""

    quality: Sequence[str] = ("accuracy", "calibration")

    def __init__(self, options: TextClassificationOptions):
        self.options = options
        self.source: Source = options.data.build()
        self._read: dict[Split, LabelledTexts] = {}
        self._rows: dict[Split, TokenRows] = {}

    def signature(self) -> Signature:
        """Return `input_ids` and `attention_mask`, int64 [batch, sequence], to `logits`."""
        from edgekd.tasks.token_rows import SEQUENCE, ports

        path, length = self.options.tokenizer.path, self.options.max_length
        entries = Tokenizer.read(path, length).entries if path else self.options.tokenizer.entries
        return Signature(
            ports(entries),
            (Port("logits", "float32", ("batch", len(self.source.labels))),),
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
            there, classes = count("train") if count else None, len(self.source.labels)
            yield from check_few(self.options.train_examples, there, classes, "texts")

    def audit(self) -> Sequence[str]:
        """Return what is likely a mistake in the data; all splits are read.

        RequestError with every fault that makes one of them useless.
        """
        from edgekd.tasks.columns import check_every_class
        from edgekd.tasks.texts import find_twin_texts

        problems: list[Problem] = []
        for split in SPLITS:
            try:
                found = self._texts(split)
                if split == "train":
                    check_every_class(found.label.numpy(), self.source.labels, "text")
            except RequestError as error:
                problems += [p for p in error.problems if p not in problems]
        if problems:
            raise RequestError(problems)
        if self.options.duplicates == "allow":
            return []
        names = self._asked("names") or (lambda _: ())
        twins = list(find_twin_texts(self._read, names, self.source.labels))
        if twins and self.options.duplicates == "refuse":
            step = "task.duplicates: refuse asks for this; say notice to go on nevertheless."
            raise RequestError([Problem("task.data", text, step) for text in twins])
        return twins

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

    def facts(self) -> Facts:
        """Return the class names and all that turns a text into the model's input."""
        return {
            "labels": list(self.source.labels),
            "preprocessing": {"input": "text", **self._tokenizer.facts()},
        }

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
        """Yield `input_ids`, `attention_mask`, `labels` and `ids`; see `core.protocols.Task`."""
        if split not in self._rows:
            self._rows[split] = self._texts(split).rows(self._tokenizer)
        passed = self._rows[split].batches
        return passed(batch_size, device=device, rng=rng, part=part, start=start)

    def _asked(self, name: str) -> Callable[..., Any] | None:
        """Return a method that a source may have."""
        method = getattr(self.source, name, None)
        return method if callable(method) else None

    def _texts(self, split: Split) -> LabelledTexts:
        from edgekd.tasks.texts import load

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
