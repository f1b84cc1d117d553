"""Say what a text is about: one row of tokens in, one score per class out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from edgekd.core.errors import Problem, RequestError
from edgekd.core.kinds import task
from edgekd.core.protocols.values import Facts, Split
from edgekd.core.refs import UseSource
from edgekd.core.signature import Port, Signature
from edgekd.tasks.text_task import TextOptions, TextTask

if TYPE_CHECKING:
    from edgekd.tasks.texts import LabelledTexts


class TextClassificationOptions(TextOptions):
    """Which texts, and how a model sees them."""

    data: UseSource
    """Where the texts and their classes come from."""
    duplicates: Literal["notice", "refuse", "allow"] = "notice"
    """What to do about the same text in two splits, or under two labels: say it, refuse to go on,
    or nothing. No result depends on it: a kept one stays whatever is said here."""


@task(
    config=TextClassificationOptions,
    judges=("duplicates",),
    distributions=("tokenizers",),
)
class TextClassification(TextTask["LabelledTexts"]):
    """Texts as rows of token numbers, in memory; they cannot be streamed."""

    options: TextClassificationOptions
    quality: Sequence[str] = ("accuracy", "calibration")

    @property
    def labels(self) -> Sequence[str]:
        """Names of the classes, in the order of the scores."""
        return self.source.labels

    def signature(self) -> Signature:
        """Return `input_ids` and `attention_mask`, int64 [batch, sequence], to `logits`."""
        return self._signature(Port("logits", "float32", ("batch", len(self.source.labels))))

    def audit(self) -> Sequence[str]:
        """Return what is likely a mistake in the data; all splits are read.

        RequestError with every fault that makes one of them useless.
        """
        from edgekd.tasks.texts import find_twin_texts

        super().audit()
        if self.options.duplicates == "allow":
            return []
        names = self._asked("names") or (lambda _: ())
        twins = list(find_twin_texts(self._read, names, self.source.labels))
        if twins and self.options.duplicates == "refuse":
            step = "task.duplicates: refuse asks for this; say notice to go on nevertheless."
            raise RequestError([Problem("task.data", text, step) for text in twins])
        return twins

    def facts(self) -> Facts:
        """Return the class names and all that turns a text into the model's input."""
        return {
            "labels": list(self.source.labels),
            "preprocessing": {"input": "text", **self._tokenizer.facts()},
        }

    def _load(self, split: Split) -> LabelledTexts:
        from edgekd.tasks.texts import load

        return load(self.source, split)

    def _fewest(self) -> int:
        return len(self.source.labels)

    def _examine(self, split: Split) -> None:
        from edgekd.tasks.columns import check_every_class

        found = self._texts(split)
        if split == "train":
            check_every_class(found.label.numpy(), self.source.labels, "text")
