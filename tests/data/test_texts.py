"""Texts divided into splits."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.core.errors import RequestError
from edgekd.data.texts import Division, Texts, divide


def texts(count, every=3):
    label = ["rare" if i % every == 0 else "common" for i in range(count)]
    return Texts([f"text {i}" for i in range(count)], label, [f"a.csv:{i}" for i in range(count)])


@given(count=st.integers(10, 200), share=st.floats(0.05, 0.4), seed=st.integers(0, 99))
def test_splits_share_nothing_leave_nothing_and_keep_text_label_and_place_together(
    count, share, seed
):
    whole = texts(count)
    splits = divide(whole, validation=share, test=share, seed=seed)
    found = [
        row for s in splits.values() for row in zip(s.text, s.label or (), s.place, strict=True)
    ]
    assert sorted(found) == sorted(zip(whole.text, whole.label or (), whole.place, strict=True))


def test_every_split_has_each_class_in_about_its_share():
    for split in divide(texts(300), validation=0.1, test=0.2).values():
        counts = Counter(split.label)
        assert counts["rare"] / len(split) == pytest.approx(1 / 3, abs=0.05)


def test_of_equal_texts_the_first_stays():
    whole = Texts(["b", "a", "b", "c", "a"], ["1", "2", "3", "4", "5"], list("vwxyz"))
    assert whole.distinct() == Texts(["b", "a", "c"], ["1", "2", "4"], ["v", "w", "y"])


def test_columns_number_the_classes_and_name_the_texts_of_others():
    columns = texts(4).columns(("common", "rare"))
    assert columns["label"].tolist() == [1, 0, 0, 1]
    assert columns["text"].tolist() == ["text 0", "text 1", "text 2", "text 3"]
    with pytest.raises(RequestError, match=r"no training text has the class 'rare': 2 \(a.csv:0, "):
        texts(4).columns(("common",))


def test_without_classes_there_is_no_label():
    assert set(Texts(["a"], None, ["x"]).columns(())) == {"text"}


def test_too_few_texts_are_refused():
    with pytest.raises(RequestError, match="2 texts cannot be divided"):
        divide(texts(2), validation=0.1, test=0.1)


def test_shares_that_leave_nothing_are_refused():
    with pytest.raises(ValueError, match="sum to less than 1"):
        Division(validation=0.5, test=0.5)
