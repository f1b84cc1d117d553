"""Faults of what a source gave."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.core.errors import RequestError
from edgekd.tasks.columns import check_columns, seen, some

LABELS = ("cat", "dog", "hen")


def columns(count=30, **changes):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (count, 4, 5, 3), np.uint8)
    return {"image": image, "label": np.arange(count) % 3} | changes


def problems(given, labels=LABELS, split="train"):
    with pytest.raises(RequestError) as error:
        check_columns(seen(given), split, labels, 3)
    return [problem.message for problem in error.value.problems]


def test_sound_data_passes():
    check_columns(seen(columns()), "train", LABELS, 3)


@given(bad=st.sets(st.integers(0, 29), min_size=1), value=st.sampled_from([np.nan, np.inf]))
def test_every_picture_that_is_not_finite_is_counted_and_the_first_are_named(bad, value):
    image = columns()["image"].astype(np.float32)
    for index in bad:
        image[index, 1, 2, 0] = value
    (first, *_) = problems(columns(image=image))
    assert first.startswith("train has pictures with NaN or infinite pixels")
    assert some(sorted(bad)) in first
    assert "of 30" in first


def test_floats_without_fault_are_refused_for_their_type_alone():
    (only,) = problems(columns(image=columns()["image"].astype(np.float32)))
    assert only == "train has images float32 (30, 4, 5, 3) and labels (30,)."


def test_labels_out_of_range_are_counted_and_named():
    label = columns()["label"]
    label[[4, 9]] = 3, -1
    (only,) = problems(columns(label=label))
    assert "labels from -1 to 3, but there are 3 classes, 0 to 2" in only
    assert "wrong are 2 (ids 4, 9) of 30" in only


def test_labels_that_are_no_integers_are_refused_and_their_nans_named():
    label = columns()["label"].astype(float)
    assert problems(columns(label=label)) == ["train has labels float64 (30,)."]
    label[7] = np.nan
    assert problems(columns(label=label)) == [
        "train has labels float64 (30,), of which 1 (ids 7) are NaN."
    ]
    assert "labels bool" in problems(columns(label=label > 1))[0]
    assert "labels int64 (30, 1)" in problems(columns(label=columns()["label"][:, None]))[0]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_split_of_one_class_is_refused(split):
    (only,) = problems(columns(label=np.ones(30, int)), split=split)
    assert only == f"{split} shows one class only: all of its 30 pictures are 'dog'."


def test_no_examples_and_no_classes_are_said_together():
    given = columns(count=0)
    assert problems(given, ("cat",), "test") == ["there are 1 classes.", "test is empty."]


def test_missing_columns_are_named():
    assert problems({"picture": np.zeros(3)}) == [
        "train has no column image and no label; it has picture."
    ]


def test_other_channels_than_the_source_says_are_refused():
    (only,) = problems(columns(image=columns()["image"][..., :1]))
    assert only == "train has pictures of 1 channels, but the source says 3."


def test_only_the_first_few_are_named():
    assert some([3]) == "1 (ids 3)"
    assert some(range(5)) == "5 (ids 0, 1, 2, 3, 4)"
    assert some(range(1200)) == "1,200 (ids 0, 1, 2, 3, 4, ...)"
    assert some([1], ["a.png", "b.png"]) == "1 (b.png)"
