"""Tokenizers, given and trained here."""

import json
import subprocess
import sys

import numpy as np
import pytest
from pydantic import ValidationError

from edgekd.core.errors import RequestError
from edgekd.tasks.tokenizer import FILE, Tokenizer, TokenizerOptions

TEXTS = [f"Die {i}. Zeile über {word} Ünï {i * 7}" for i in range(40) for word in ("Haus", "haus")]
BOTH = ("wordpiece", "bpe")


def train(algorithm="wordpiece", length=16, **options):
    options = TokenizerOptions(algorithm=algorithm, entries=1000, **options)
    return Tokenizer.train(options, TEXTS, length)


@pytest.fixture(scope="module", params=BOTH)
def trained(request):
    return train(request.param)


def test_rows_are_as_long_as_asked_and_filled_with_the_padding(trained):
    row, length = trained.rows(["haus", "haus " * 50])
    pad = trained.facts()["pad_id"]
    assert row.shape == (2, 16)
    assert 3 <= length[0] < 16 == length[1]
    assert (row[0, length[0] :] == pad).all()
    assert (row[0, : length[0]] != pad).all()
    assert row[0, 0] == row[1, 0]  # [CLS]
    assert row[0, length[0] - 1] == row[1, -1]  # [SEP], which cutting leaves


def test_the_librarys_own_reading_of_the_file_gives_the_same_rows(trained, tmp_path):
    from tokenizers import Tokenizer as Library

    (tmp_path / FILE).write_bytes(trained.companions()[FILE])
    found = Library.from_file(str(tmp_path / FILE)).encode_batch(TEXTS)
    assert np.array_equal([f.ids for f in found], trained.rows(TEXTS)[0])


def test_a_file_that_is_read_again_is_the_same_to_the_byte(trained, tmp_path):
    (tmp_path / FILE).write_bytes(trained.content)
    assert Tokenizer.read(tmp_path / FILE, 16).content == trained.content
    assert Tokenizer.read(tmp_path / FILE, 8).rows(["a"])[0].shape == (1, 8)


SCRIPT = """
import sys
from tests_tokenizer import TEXTS
from edgekd.tasks.tokenizer import Tokenizer, TokenizerOptions
options = TokenizerOptions(algorithm=sys.argv[1], entries=1000)
print(Tokenizer.train(options, TEXTS, 16).facts()["tokenizer"]["sha256"])
"""


@pytest.mark.parametrize("algorithm", BOTH)
def test_another_process_trains_the_same_file(algorithm, tmp_path):
    (tmp_path / "tests_tokenizer.py").write_text(f"TEXTS = {TEXTS!r}")
    own = train(algorithm).facts()["tokenizer"]["sha256"]
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, algorithm],
            env={"PYTHONPATH": ":".join([str(tmp_path), *filter(None, sys.path)])},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == own


def test_the_alphabet_of_wordpiece_is_no_special_token():
    from tokenizers import Tokenizer as Library

    library = Library.from_str(train().content.decode())
    assert library.encode("##a").tokens[1:-1] != ["##a"]
    assert "##a" in library.get_vocab()


def test_capital_letters_count_where_that_is_asked_for():
    assert np.array_equal(train().rows(["HAUS"])[0], train().rows(["haus"])[0])
    cased = train(lowercase=False)
    assert not np.array_equal(cased.rows(["HAUS"])[0], cased.rows(["haus"])[0])


def test_byte_pairs_spell_every_text():
    from tokenizers import Tokenizer as Library

    library = Library.from_str(train("bpe", 64).content.decode())
    assert library.decode(library.encode("日本 ok").ids).strip() == "日本 ok"


def test_facts_say_what_an_app_must_do(trained):
    facts = trained.facts()
    assert facts["max_length"] == 16
    assert facts["tokenizer"]["file"] == FILE
    assert facts["tokenizer"]["entries"] <= 1000


def test_a_folder_may_be_given_and_its_file_is_part_of_the_key(trained, tmp_path):
    (tmp_path / FILE).write_bytes(trained.content)
    options = TokenizerOptions(file=str(tmp_path))
    assert options.files() == (tmp_path / FILE,)
    assert TokenizerOptions().files() == ()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{}", "is no tokenizer"),
        ("no json", "is no tokenizer"),
        (json.dumps({"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}), "fill"),
    ],
)
def test_a_file_that_is_of_no_use_is_refused(tmp_path, content, says):
    (tmp_path / FILE).write_text(content)
    with pytest.raises(RequestError, match=says):
        Tokenizer.read(tmp_path / FILE, 8)


def test_a_file_that_is_missing_is_refused(tmp_path):
    with pytest.raises(RequestError, match=r"there is no file .*tokenizer\.json"):
        TokenizerOptions(file=str(tmp_path)).files()


def test_a_given_tokenizer_takes_no_options_of_a_trained_one():
    with pytest.raises(ValidationError, match="'entries' is for a tokenizer that is trained here"):
        TokenizerOptions(file="x.json", entries=2000)


def test_rows_are_filled_with_the_padding_whatever_its_number(tmp_path):
    from tokenizers import Tokenizer as Library
    from tokenizers import models, pre_tokenizers

    library = Library(models.WordLevel({"[UNK]": 0, "hello": 1, "<pad>": 2}, unk_token="[UNK]"))
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    library.save(str(tmp_path / FILE))
    found = Tokenizer.read(tmp_path / FILE, 4)
    row, length = found.rows(["hello"])
    assert (row.tolist(), length.tolist()) == ([[1, 2, 2, 2]], [1])
    assert found.facts()["pad_id"] == 2
