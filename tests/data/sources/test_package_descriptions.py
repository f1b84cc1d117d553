"""Descriptions of packages, from what apt-cache printed."""

import pytest

from edgekd.core.errors import RequestError
from edgekd.core.refs import UseSource


def paragraph(name, section, text):
    return f"Package: {name}\nTag: a,\n b\nDescription: {text}\n long text\nSection: {section}\n\n"


DUMP = (
    "".join(paragraph(f"game{i}", "games", f"game number {i}") for i in range(12))
    + "".join(paragraph(f"lib{i}", "non-free/libs", f"library number {i}") for i in range(12))
    + paragraph("rare", "fonts", "a font")
    + paragraph("twice", "games", "game number 0")
    + paragraph("both1", "games", "a thing")
    + paragraph("both2", "libs", "a thing")
    + "Package: bare\nSection: games\n"
)


def build(**options):
    return UseSource.model_validate({"kind": "package_descriptions", **options}).build()


@pytest.fixture
def dump(put):
    return str(put(**{"packages.txt": DUMP}) / "packages.txt")


def test_sections_are_the_classes_and_rare_ones_are_left_out(dump):
    assert build(file=dump, fewest=10).labels == ("games", "libs")
    assert build(file=dump, fewest=1).labels == ("fonts", "games", "libs")


def test_a_description_stands_once_and_in_one_section_only(dump):
    source = build(file=dump, fewest=10)
    names = [n for split in ("train", "validation", "test") for n in source.names(split)]
    assert len(names) == 24
    assert "game0" in names
    assert not {"twice", "both1", "both2", "bare"} & {*names}
    columns = source.load("train")
    for text, label in zip(columns["text"], columns["label"], strict=True):
        assert text.startswith("library") == (label == 1)


def test_what_apt_cache_says_is_kept(tmp_path, monkeypatch):
    command = tmp_path / "apt-cache"
    (tmp_path / "dump.txt").write_text(DUMP)
    command.write_text(f"#!/bin/sh\ncat {tmp_path / 'dump.txt'}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (kept,) = build().files()
    assert kept.read_text() == DUMP
    (tmp_path / "dump.txt").write_text("")
    assert build(fewest=10).labels == ("games", "libs")


def test_an_apt_cache_that_fails_leaves_nothing(tmp_path, monkeypatch):
    command = tmp_path / "apt-cache"
    command.write_text("#!/bin/sh\necho locked >&2\nexit 100\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(RequestError, match="apt-cache dumpavail failed: locked"):
        build().files()
    assert list((tmp_path / "cache" / "edgekd").iterdir()) == []


def test_a_machine_without_apt_is_told_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(RequestError, match=r"apt-cache dumpavail > packages.txt\n.*with file:"):
        build().files()


def test_a_file_that_is_missing_or_something_else_is_refused(dump, put):
    with pytest.raises(RequestError, match="there is no file"):
        build(file=f"{dump}.no").files()
    with pytest.raises(RequestError, match="has 0 sections"):
        build(file=str(put(**{"other.txt": "hello\n\nworld"}) / "other.txt")).load("train")
