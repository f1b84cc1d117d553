"""The document of a bundle: closed, strict, versioned."""

import json

import pytest

from edgekd.bundle.document import read_bundle
from edgekd.core.errors import RequestError

from .zips import document


def test_a_document_is_read_as_it_was_written():
    written = document({"pipeline.yaml": b"x"})
    assert read_bundle(written.text().encode(), "b.zip") == written


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "not JSON"),
        (b"{" * 100_000, "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "wrong at"),
        (b"null", "wrong at"),
        (b'{"schema_version": 1}', "'edgekd'.*Field required"),
        (b'{"schema_version": 2, "edgekd": "9.9"}', "schema 2; this edgekd reads 1.\n.*'9.9'"),
        (b'{"schema_version": "1"}', "wrong at"),
    ],
)
def test_another_document_is_refused(text, words):
    with pytest.raises(RequestError, match=words) as caught:
        read_bundle(text, "b.zip")
    assert str(caught.value).startswith("b.zip\n")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("extra",), 1, "extra"),
        (("exit_code",), "0", "exit_code"),
        (("members", "pipeline.yaml", "size"), -1, "size"),
        (("members", "pipeline.yaml", "sha256"), "0" * 63, "sha256"),
        (("members", "pipeline.yaml", "sha256"), "Z" * 64, "sha256"),
        (("request", "sets"), "seed=1", "sets"),
        (("stages",), {}, "stages"),
    ],
)
def test_a_value_of_another_kind_is_refused_at_its_place(path, value, words):
    found = json.loads(document({"pipeline.yaml": b"x"}).text())
    at = found
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    with pytest.raises(RequestError, match=words):
        read_bundle(json.dumps(found).encode(), "b.zip")
