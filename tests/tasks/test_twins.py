"""Pictures that stand twice."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgekd.tasks.survey import digests_of
from edgekd.tasks.twins import Known, Sorted, find_twins

LABELS = ("cat", "dog")


def known(split, shown, classes=None, names=(), rows=None):
    """Return a split whose pictures are told apart by one number each."""
    image = torch.tensor(shown, dtype=torch.uint8)[:, None, None, None].repeat(1, 1, 2, 2)
    label = np.array(classes or [0] * len(shown))
    row_of = (rows or list(range(len(shown)))).__getitem__
    return Known(split, Sorted.of(digests_of(image)), label, row_of, names, LABELS, "pictures")


def found(*splits):
    return list(find_twins(splits))


def test_different_pictures_are_nothing_to_speak_of():
    assert not found(known("train", [1, 2, 3]), known("validation", [4]), known("test", [5, 6]))


def test_the_same_picture_twice_in_one_split_under_one_label_is_let_be():
    assert not found(known("train", [1, 1, 2]))


@given(st.lists(st.integers(0, 9), min_size=1), st.lists(st.integers(0, 9), min_size=1))
def test_the_pictures_of_a_split_that_another_has_are_counted(first, second):
    count = sum(picture in first for picture in second)
    told = found(known("train", first), known("test", second))
    assert len(told) == (count > 0)
    if count:
        said = f"{count} of {len(second)} test pictures are in train too: "
        assert told[0].startswith(said)
        where = next(i for i, picture in enumerate(second) if picture in first)
        assert f": test {where} is train {first.index(second[where])}" in told[0]


def test_every_pair_of_splits_is_looked_at():
    told = found(known("train", [1, 2]), known("validation", [1, 3]), known("test", [2, 3]))
    assert [text.partition(" too")[0] for text in told] == [
        "1 of 2 validation pictures are in train",
        "1 of 2 test pictures are in train",
        "1 of 2 test pictures are in validation",
    ]


def test_another_label_in_the_other_split_is_counted_and_told():
    (only,) = found(known("train", [1, 2], [0, 0]), known("test", [1, 2, 3], [0, 1, 1]))
    assert "2 of 3 test pictures are in train too, 1 of them with another label" in only
    assert "test 0 is train 0, test 1 (dog) is train 1 (cat)" in only


def test_one_picture_under_two_labels_is_told_with_how_to_silence_it():
    (only,) = found(known("train", [1, 5, 1], [0, 0, 1]))
    assert only.startswith("1 train pictures stand there under different labels: ")
    assert "train 0 (cat) is train 2 (dog)" in only
    assert "task.duplicates: allow silences this" in only


def test_examples_are_named_as_their_source_names_them():
    (only,) = found(
        known("train", [1, 2], names=["train/a.png", "train/b.png"]),
        known("test", [2], names=["test/c.png"]),
    )
    assert "test/c.png is train/b.png" in only


def test_an_example_that_was_drawn_from_more_is_named_by_its_own_row():
    (only,) = found(
        known("train", [1, 2], names=["a.png", "b.png", "c.png"], rows=[2, 0]),
        known("test", [1]),
    )
    assert "test 0 is c.png" in only
