"""Tables in files of four formats."""

import json

import pytest

from edgekd.core.errors import RequestError
from edgekd.data.tables import check_table, read_table

NAMES = ("text", "label")
ROWS = [("Hello, you", "ham"), ('He said "buy"\nnow', "spam"), ("Ünïcode", "ham")]


def as_csv(delimiter):
    lines = [("label", "id", "text"), *((label, "7", text) for text, label in ROWS)]
    quoted = [[f'"{field.replace(chr(34), chr(34) * 2)}"' for field in line] for line in lines]
    return "".join(delimiter.join(line) + "\r\n" for line in quoted)


def as_json():
    return "\n".join(json.dumps({"id": 7, "label": label, "text": text}) for text, label in ROWS)


TEXTS = {"mails.csv": as_csv(","), "mails.tsv": as_csv("\t"), "mails.jsonl": as_json() + "\n\n"}


@pytest.mark.parametrize("name", TEXTS)
def test_every_format_gives_the_same_rows(name, put):
    table = read_table(put(**{name: TEXTS[name]}) / name, NAMES)
    assert [*zip(table.columns["text"], table.columns["label"], strict=True)] == ROWS


def test_parquet_gives_the_same_rows(tmp_path):
    pytest.importorskip("pyarrow", reason="needs the extra 'parquet'")
    import pyarrow
    from pyarrow import parquet

    columns = dict(zip(NAMES, map(list, zip(*ROWS, strict=True)), strict=True))
    parquet.write_table(pyarrow.table({"id": [7] * 3, **columns}), tmp_path / "mails.parquet")
    table = read_table(tmp_path / "mails.parquet", NAMES)
    assert table.columns == columns
    assert table.places == ["mails.parquet:1", "mails.parquet:2", "mails.parquet:3"]
    (problem,) = check_table(tmp_path / "mails.parquet", ("texts",))
    assert "no column 'texts'" in problem.message
    (tmp_path / "bad.parquet").write_text("no parquet")
    with pytest.raises(RequestError, match=r"bad\.parquet cannot be read"):
        read_table(tmp_path / "bad.parquet", NAMES)


def test_parquet_without_its_library_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "mails.parquet").write_text("")
    with pytest.raises(RequestError, match=r"pip install 'edgekd\[parquet\]'"):
        read_table(tmp_path / "mails.parquet", NAMES)


def test_a_row_is_found_by_the_line_that_it_begins_in(put):
    folder = put(**TEXTS)
    assert read_table(folder / "mails.csv", NAMES).places == [
        "mails.csv:2",
        "mails.csv:3",
        "mails.csv:5",
    ]
    assert read_table(folder / "mails.jsonl", NAMES).places[2] == "mails.jsonl:3"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", "text,lable\nx,y\n", "has no column 'label'.\n  Did you mean 'lable'"),
        ("a.csv", "text,label\nx,y,z\n", r"a.csv:2 has 3 fields; the first line names 2"),
        ("a.csv", 'text,label\n"x"y,z\n', "cannot be read: .* expected after"),
        ("a.csv", "", "has no column 'text'"),
        ("a.jsonl", '{"text": "x", "label": "y"}\n{"text"', "a.jsonl:2 is no JSON: "),
        ("a.jsonl", '["x"]', "a.jsonl:1 is no JSON object"),
        ("a.jsonl", '{"text": "x", "tag": "y"}', "a.jsonl:1 has no column 'label'"),
        ("a.txt", "x", r"a.txt is none of .csv, .tsv, .jsonl, .parquet"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused_with_its_place(put, name, content, says):
    with pytest.raises(RequestError, match=says):
        read_table(put(**{name: content}) / name, NAMES)


def test_a_file_that_is_missing_or_not_utf8_is_refused(tmp_path):
    with pytest.raises(RequestError, match="there is no file"):
        read_table(tmp_path / "a.csv", NAMES)
    (tmp_path / "a.csv").write_bytes("text,label\nÜ,y\n".encode("latin-1"))
    with pytest.raises(RequestError, match="in UTF-8"):
        read_table(tmp_path / "a.csv", NAMES)


def test_only_the_beginning_is_checked_before_a_run(put):
    folder = put(**{"a.csv": "text,label\nx,y\nx,y,z\n", "b.csv": "text\nx\n"})
    assert list(check_table(folder / "a.csv", NAMES)) == []
    (problem,) = check_table(folder / "b.csv", NAMES)
    assert "no column 'label'" in problem.message
