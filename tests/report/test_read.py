import json

import pytest

from edgekd.core.errors import RequestError
from edgekd.report.read import read_report

AGAIN = "Make it anew: edgekd run pipelines/quickstart.yaml"


@pytest.fixture
def folder(passing, tmp_path):
    (tmp_path / "report.json").write_text(passing.model_dump_json())
    return tmp_path


def edit(folder, **fields):
    document = json.loads((folder / "report.json").read_text())
    (folder / "report.json").write_text(json.dumps(document | fields))


def test_what_was_written_is_read(folder, passing):
    assert read_report(folder) == passing


def test_what_a_later_edgekd_added_is_passed_over(folder, passing):
    edit(folder, new_section=[1, 2])
    assert read_report(folder) == passing


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"schema_version": 1}, ["has schema 1", "reads schema 2", "An earlier edgekd", AGAIN]),
        ({"schema_version": 3}, ["has schema 3", "A later edgekd wrote it"]),
        ({"schema_version": None}, ["no schema_version", "edgekd runs lists them"]),
        ({"headline": {}}, ["no report of schema 2: headline.verdict", "Make it anew"]),
        ({"schema_version": 1, "provenance": 3}, ["Make it anew: edgekd run FILE"]),
    ],
)  # fmt: skip
def test_a_report_that_cannot_be_read_says_why_and_what_to_do(fields, words, folder):
    edit(folder, **fields)
    with pytest.raises(RequestError) as caught:
        read_report(folder)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '"x"', "{} {}"])
def test_what_is_no_report_is_refused(text, folder):
    (folder / "report.json").write_text(text)
    with pytest.raises(RequestError, match=r"is no JSON|is no report"):
        read_report(folder)


def test_a_run_without_a_report_says_so(tmp_path):
    with pytest.raises(RequestError, match=r"has no report\.json"):
        read_report(tmp_path)
