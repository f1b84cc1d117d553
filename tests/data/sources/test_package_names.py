"""Pairs of a package's name and its description."""

import pytest

from edgekd.core.errors import RequestError
from edgekd.core.refs import UseSource

SPLITS = ("train", "validation", "test")
DUMP = (
    "".join(
        f"Package: lib-thing{i}.{i}\nDescription: Things, kind {i}\n more\nSection: libs\n\n"
        for i in range(60)
    )
    + "Package: one\nDescription: the same\nSection: libs\n\n"
    + "Package: two\nDescription: the same\nSection: libs\n"
)


@pytest.fixture
def build(put):
    file = str(put(**{"packages.txt": DUMP}) / "packages.txt")
    return lambda **more: UseSource.model_validate(
        {"kind": "package_names", "file": file, **more}
    ).build()


def test_a_name_asks_and_the_next_row_answers(build):
    for split in SPLITS:
        columns = build().load(split)
        for row, (text, answer) in enumerate(zip(*columns.values(), strict=True)):
            if row % 2:
                assert answer == -1
            else:
                assert answer == row + 1
                number = text.removeprefix("lib thing").split()[0]
                assert columns["text"][answer] == f"Things, kind {number}"


def test_no_package_is_in_two_splits_and_no_description_belongs_to_two(build):
    found = [text for split in SPLITS for text in build().load(split)["text"]]
    assert len(found) == len({*found}) == 120
    assert "the same" not in found


def test_as_many_packages_are_drawn_as_are_asked_for(build):
    some = build(packages=40, validation=0.25, test=0.25)
    assert [some.count(split) for split in SPLITS] == [40, 20, 20]
    assert [len(some.load(split)["text"]) for split in SPLITS] == [40, 20, 20]


def test_more_than_there_are_is_refused_with_how_to_write_the_file(build):
    with pytest.raises(RequestError, match=r"60 packages(.|\n)*61 are asked for(.|\n)*apt-cache"):
        build(packages=61).load("train")


def test_a_missing_file_is_named(tmp_path):
    source = UseSource.model_validate({"kind": "package_names", "file": str(tmp_path / "no.txt")})
    with pytest.raises(RequestError, match=r"there is no file .*no\.txt"):
        source.build().files()
