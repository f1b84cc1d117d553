"""Texts to rows of token numbers, by a file of the `tokenizers` library or one trained here."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from edgekd.core.config import Config, LocalPath, PositiveCount
from edgekd.core.errors import Problem, RequestError
from edgekd.core.protocols.values import Facts

if TYPE_CHECKING:
    import numpy as np
    from tokenizers import Tokenizer as Library

    Rows = np.ndarray[Any, np.dtype[np.int32]]

FILE = "tokenizer.json"
"""How the library calls the file, and how it is called beside a program."""
PAD, UNKNOWN, FIRST, LAST = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
PADDING = (PAD, "<pad>", "<|padding|>", "<|endoftext|>", "</s>")
"""What tokenizers call the token that fills rows up, in the order of preference."""
MOST_LETTERS = 350
"""Of a WordPiece alphabet, the commonest; each takes two entries, at a word's start and inside."""
AT_ONCE = 1000


class TokenizerOptions(Config):
    """A given tokenizer, or how one is trained on the training texts."""

    file: LocalPath | None = None
    """A tokenizer.json of the `tokenizers` library, or a folder that holds one; without it one is
    trained here."""
    algorithm: Literal["wordpiece", "bpe"] = "wordpiece"
    """wordpiece: whole words and pieces of them, without accents; bpe: pieces of bytes, which spell
    every text."""
    entries: Annotated[PositiveCount, Field(ge=1000)] = 8000
    """Most tokens that there are."""
    lowercase: bool = True
    """Whether wordpiece takes capital letters for small ones."""

    @model_validator(mode="after")
    def _given_or_trained(self) -> TokenizerOptions:
        own = {} if self.file is None else self.model_dump(exclude={"file"}, exclude_defaults=True)
        for odd in own:
            raise ValueError(f"'{odd}' is for a tokenizer that is trained here: leave out file")
        return self

    @property
    def path(self) -> Path | None:
        """The file that was given."""
        given = Path(self.file) if self.file is not None else None
        return given / FILE if given is not None and given.is_dir() else given

    def files(self) -> Sequence[Path]:
        """Return the file that is read, if one is; RequestError where it is not there."""
        if self.path is not None and not self.path.is_file():
            raise _problem(
                f"there is no file {self.path.absolute()}.",
                "Save it with: tokenizer.save('tokenizer.json'); of a transformers tokenizer, "
                "save_pretrained writes it beside the model.",
            )
        return () if self.path is None else (self.path,)


class Tokenizer:
    """Turns a text into `max_length` numbers: what is over is cut off, what lacks is filled up."""

    def __init__(self, library: Library, max_length: int):
        pad = _padding(library)
        library.enable_truncation(max_length)
        library.enable_padding(length=max_length, pad_id=library.token_to_id(pad), pad_token=pad)
        self._library, self.max_length = library, max_length

    @staticmethod
    def read(path: Path, max_length: int) -> Tokenizer:
        """Return the tokenizer of a file; RequestError where it is none."""
        from tokenizers import Tokenizer as Library

        try:
            return Tokenizer(Library.from_str(path.read_text("utf-8")), max_length)
        except RequestError:
            raise
        except Exception as error:  # the library raises nothing more precise
            step = "Save it again with: tokenizer.save('tokenizer.json')."
            raise _problem(f"{path} is no tokenizer: {error}.", step) from error

    @staticmethod
    def train(options: TokenizerOptions, texts: Sequence[str], max_length: int) -> Tokenizer:
        """Return a tokenizer of these texts: the same file for the same texts, on any machine."""
        make = _word_pieces if options.algorithm == "wordpiece" else _byte_pairs
        return Tokenizer(_framed(make(options, texts)), max_length)

    @property
    def entries(self) -> int:
        """How many tokens there are."""
        return int(self._library.get_vocab_size())

    def rows(self, texts: Sequence[str]) -> tuple[Rows, Rows]:
        """Return token numbers int32 [n, max_length], and how many of each row are no filling."""
        import numpy as np

        row = np.empty((len(texts), self.max_length), np.int32)
        length = np.empty(len(texts), np.int32)
        for start in range(0, len(texts), AT_ONCE):
            for index, found in enumerate(
                self._library.encode_batch(texts[start : start + AT_ONCE])
            ):
                row[start + index] = found.ids
                length[start + index] = sum(found.attention_mask)
        return row, length

    @cached_property
    def content(self) -> bytes:
        """The file, with the cutting and filling in it: its library gives the same rows."""
        return str(self._library.to_str(pretty=True)).encode()

    def companions(self) -> Mapping[str, bytes]:
        """Return the files that an app needs beside the program, by name."""
        return {FILE: self.content}

    def facts(self) -> Facts:
        """Return what turns a text into the model's inputs."""
        padding: Mapping[str, Any] = self._library.padding or {}
        return {
            "tokenizer": {
                "file": FILE,
                "sha256": hashlib.sha256(self.content).hexdigest(),
                "model": type(self._library.model).__name__,
                "entries": self.entries,
            },
            "max_length": self.max_length,
            "truncation": "right",
            "padding": "right",
            "pad_id": padding["pad_id"],
        }


def _word_pieces(options: TokenizerOptions, texts: Sequence[str]) -> Library:
    """Return WordPiece as BERT has it.

    The library numbers letters inside of words in the order of a hash table, which differs from
    process to process, and draws are decided by these numbers. So they are given to it in order.
    """
    from tokenizers import Tokenizer as Library
    from tokenizers import models, normalizers, pre_tokenizers, trainers

    normalizer = normalizers.BertNormalizer(lowercase=options.lowercase)
    letters = _letters(normalizer.normalize_str(text) for text in texts)
    library = Library(models.WordPiece(unk_token=UNKNOWN))
    library.normalizer = normalizer
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inside = [f"##{letter}" for letter in letters]
    trainer = trainers.WordPieceTrainer(
        vocab_size=options.entries,
        special_tokens=[PAD, UNKNOWN, FIRST, LAST, *inside],
        initial_alphabet=letters,
        limit_alphabet=len(letters),
        show_progress=False,
    )
    library.train_from_iterator(texts, trainer)
    known = library.get_vocab()
    again = Library(models.WordPiece(known, unk_token=UNKNOWN))  # in which '##a' is not special
    again.normalizer, again.pre_tokenizer = library.normalizer, library.pre_tokenizer
    return again


def _letters(texts: Iterator[str]) -> list[str]:
    """Return the commonest characters, sorted."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    seen = [(-count, letter) for letter, count in counts.items() if not letter.isspace()]
    return sorted(letter for _, letter in sorted(seen)[:MOST_LETTERS])


def _byte_pairs(options: TokenizerOptions, texts: Sequence[str]) -> Library:
    """Return BPE over bytes, as GPT-2 has it."""
    from tokenizers import Tokenizer as Library
    from tokenizers import decoders, models, pre_tokenizers, trainers

    library = Library(models.BPE(unk_token=UNKNOWN))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=options.entries,
        special_tokens=[PAD, UNKNOWN, FIRST, LAST],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    library.train_from_iterator(texts, trainer)
    return library


def _framed(library: Library) -> Library:
    """Return the tokenizer with `[CLS]` before every text and `[SEP]` after it."""
    from tokenizers import processors

    numbers = [(name, library.token_to_id(name)) for name in (FIRST, LAST)]
    library.add_special_tokens([PAD, UNKNOWN, FIRST, LAST])
    library.post_processor = processors.TemplateProcessing(
        single=f"{FIRST} $A {LAST}", special_tokens=numbers
    )
    return library


def _padding(library: Library) -> str:
    """Return the token that fills rows up; RequestError where there is none."""
    own = (library.padding or {}).get("pad_token")
    for name in (*([own] if own else []), *PADDING):
        if library.token_to_id(name) is not None:
            return str(name)
    raise _problem(
        f"it has no token to fill rows up with: none of {', '.join(PADDING)}.",
        "Add one, or call enable_padding(pad_token=...), and save it again.",
    )


def _problem(message: str, next_step: str) -> RequestError:
    return RequestError(Problem("task.tokenizer", message, next_step))
