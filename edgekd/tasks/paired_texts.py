"""Texts of one split, some of which ask for others, in memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from edgekd.core.errors import RequestError
from edgekd.core.protocols.source import Source
from edgekd.core.protocols.values import Split
from edgekd.tasks.columns import problem, some
from edgekd.tasks.few import drawn
from edgekd.tasks.sentence_embedding import ANSWERS
from edgekd.tasks.token_rows import TokenRows, check_texts
from edgekd.tasks.tokenizer import Tokenizer

FEWEST_WORDS = 4
"""Of a text that can be cut in two."""

Numbers = Int64[Tensor, " n"]


@dataclass(frozen=True)
class PairedTexts:
    """One split."""

    text: Sequence[str]
    answers: Numbers | None
    """Id of the text that answers each, -1 for those that are answers; None where none asks."""

    def __len__(self) -> int:
        return len(self.text)

    def fewer(self, count: int, seed: int) -> "PairedTexts":
        """Return the first `count` of a shuffle, of which none asks."""
        return PairedTexts([self.text[i] for i in drawn(len(self), count, seed).tolist()], None)

    def halved(self, split: Split) -> "PairedTexts":
        """Return the halves of the texts, of which the first asks for the second.

        Texts of few words are left out; RequestError where none is left.
        """
        halves = []
        for words in map(str.split, self.text):
            if len(words) >= FEWEST_WORDS:
                middle = len(words) // 2
                halves += [" ".join(words[:middle]), " ".join(words[middle:])]
        if not halves:
            what = f"{split} has no text of {FEWEST_WORDS} words or more that could be cut in two."
            raise RequestError(problem(what, "Give longer texts, or a source with pairs."))
        number = torch.arange(len(halves))
        return PairedTexts(halves, torch.where(number % 2 == 0, number + 1, -1))

    def rows(self, tokenizer: Tokenizer) -> TokenRows:
        """Return the texts as a model takes them."""
        columns = {} if self.answers is None else {ANSWERS: self.answers}
        return TokenRows.of(self.text, tokenizer, columns)


def load(source: Source, split: Split) -> PairedTexts:
    """Return a split, read into memory; RequestError where it is of no use.

    Where a source has no pairs, those of validation and test are the halves of its texts.
    """
    columns = source.load(split)
    texts = PairedTexts(check_texts(columns, split, None), None)
    if split == "train":
        return texts
    if ANSWERS not in columns:
        return texts.halved(split)
    answers = torch.from_numpy(columns[ANSWERS].astype("int64"))
    asks = (answers >= 0).nonzero().flatten()
    goal = answers[asks]
    inside = goal < len(texts)
    wrong = asks[~inside | (answers[goal.clamp(max=len(texts) - 1)] >= 0)]
    if not len(asks) or len(wrong):
        which = f"{some(wrong.tolist())} have an answer that asks itself or is not there"
        what = which if len(asks) else "no text asks for another"
        step = "A source gives the row of each text's answer, and -1 for the answers."
        raise RequestError(problem(f"{split}: {what}.", step))
    return PairedTexts(texts.text, answers)
