"""Find what belongs together: one row of tokens in, one vector per text out; no labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgekd.core.config import PositiveCount
from edgekd.core.kinds import task
from edgekd.core.protocols.values import Facts, Split
from edgekd.core.refs import UseSource
from edgekd.core.signature import Port, Signature
from edgekd.tasks.text_task import TextOptions, TextTask
from edgekd.tasks.tokenizer import TokenizerOptions

if TYPE_CHECKING:
    from edgekd.tasks.paired_texts import PairedTexts

ANSWERS = "answers"
"""The column of a source that has pairs."""


class SentenceEmbeddingOptions(TextOptions):
    """Which texts, how a model sees them, and how wide its vectors are."""

    data: UseSource
    """Where the texts come from. Where a source has no pairs, texts of validation and test are cut
    in two, and the first half asks for the second."""
    tokenizer: TokenizerOptions = TokenizerOptions()
    """How a text becomes tokens; those of the teacher, where there is one."""
    dimensions: PositiveCount = 384
    """Numbers of a vector."""


@task(config=SentenceEmbeddingOptions, distributions=("tokenizers",))
class SentenceEmbedding(TextTask["PairedTexts"]):
    """Texts as rows of token numbers, in memory, scored by who finds whom."""

    options: SentenceEmbeddingOptions
    quality: Sequence[str] = ("recall_at_1", "recall_at_10")
    columns: Sequence[str] = ("answers", "ids")

    def signature(self) -> Signature:
        """Return `input_ids` and `attention_mask`, int64 [batch, sequence], to `embedding`."""
        return self._signature(Port("embedding", "float32", ("batch", self.options.dimensions)))

    def expected_size(self, split: Split) -> int | None:
        """Return the number of texts before any is tokenized; None where nobody can tell.

        So it is where texts are cut in two: short ones are left out.
        """
        if split != "train" and ANSWERS not in self.source.shapes:
            return None
        return super().expected_size(split)

    def facts(self) -> Facts:
        """Return all that turns a text into the model's input."""
        return {"preprocessing": {"input": "text", **self._tokenizer.facts()}}

    def _load(self, split: Split) -> PairedTexts:
        from edgekd.tasks.paired_texts import load

        return load(self.source, split)
