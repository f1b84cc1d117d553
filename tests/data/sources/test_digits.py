"""The embedded digits."""

import subprocess
import sys

import numpy as np
import pytest
from pydantic import ValidationError

from edgekd.core.errors import RequestError
from edgekd.core.refs import UseSource
from edgekd.data.sources import digits

SPLITS = ("train", "validation", "test")


def build(**options):
    return UseSource.model_validate({"kind": "digits", **options}).build()


def test_the_three_splits_together_are_scikit_learns_digits():
    from sklearn.datasets import load_digits

    expected = load_digits()
    source = build()
    splits = [source.load(split) for split in SPLITS]
    found = np.concatenate([s["image"][..., 0].reshape(-1, 64) for s in splits])
    label = np.concatenate([s["label"] for s in splits])

    def rows(image, target):
        return sorted(map(tuple, np.column_stack([image, target]).tolist()))

    scaled = (expected.data / 16 * 255).round().astype(int)
    assert rows(found, label) == rows(scaled, expected.target)


def test_every_class_has_about_its_share_in_every_split():
    source = build()
    for split in SPLITS:
        share = np.bincount(source.load(split)["label"], minlength=10) / len(
            source.load(split)["label"]
        )
        assert share.min() > 0.085
        assert share.max() < 0.115


def test_columns_are_what_the_source_says_they_are():
    source = build()
    columns = source.load("test")
    assert {name: column.shape[1:] for name, column in columns.items()} == source.shapes
    assert columns["image"].dtype == np.uint8
    assert columns["label"].dtype == np.int64


def test_shares_and_seed_decide_the_splits():
    assert len(build(test=0.5, validation=0.1).load("test")["label"]) == round(0.5 * 1797)
    same, other = build(seed=1).load("test"), build(seed=2).load("test")
    assert (build(seed=1).load("test")["image"] == same["image"]).all()
    assert (other["image"] != same["image"]).any()


def test_those_set_aside_are_in_no_split_and_the_others_stay_where_they_were():
    whole, rest = build(), build(aside=0.2)
    pool = build(aside=0.2, train_on="aside")
    assert [len(s.load("train")["label"]) for s in (rest, pool)] == [719, 359]
    for split in ("validation", "test"):
        for source in (rest, pool):
            assert (source.load(split)["image"] == whole.load(split)["image"]).all()
    parts = [source.load("train")["image"].reshape(-1, 64) for source in (rest, pool)]
    both = sorted(map(tuple, np.concatenate(parts).tolist()))
    assert both == sorted(map(tuple, whole.load("train")["image"].reshape(-1, 64).tolist()))


def test_to_learn_from_those_set_aside_there_must_be_some():
    with pytest.raises(ValidationError, match="needs some that are set aside; give aside"):
        build(train_on="aside")


@pytest.mark.parametrize(
    "options",
    [{"test": 0.0}, {"test": 0.6, "validation": 0.4}, {"test": 0.5, "aside": 0.4}],
)
def test_shares_that_leave_a_split_empty_are_refused(options):
    with pytest.raises(ValidationError, match="sum to less than 1"):
        build(**options)


def test_digits_may_be_grouped_or_left_out_and_stay_in_their_split():
    whole, parity, high = build(), build(classes=("02468", "13579")), build(classes=(*"56789",))
    assert (parity.labels, high.labels) == (("02468", "13579"), (*"56789",))
    for split in SPLITS:
        every = whole.load(split)
        assert (parity.load(split)["image"] == every["image"]).all()
        assert (parity.load(split)["label"] == every["label"] % 2).all()
        there = every["label"] >= 5
        assert (high.load(split)["image"] == every["image"][there]).all()
        assert (high.load(split)["label"] == every["label"][there] - 5).all()
        assert high.count(split) == there.sum()


@pytest.mark.parametrize("classes", [("0123456789",), ("01", "12"), ("0", ""), ("0", "x"), ("00",)])
def test_classes_that_are_none_of_digits_are_refused(classes):
    with pytest.raises(ValidationError, match="two classes or more, of digits that are in no"):
        build(classes=classes)


def test_without_scikit_learn_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(digits, "find_spec", lambda _: None)
    with pytest.raises(RequestError, match="pip install scikit-learn"):
        build().files()


def test_naming_the_file_imports_neither_torch_nor_scikit_learn():
    code = (
        "import sys; from edgekd.core.refs import UseSource;"
        "files = UseSource.model_validate('digits').build().files();"
        "assert files[0].is_file(); assert not {'torch', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_count_is_the_length():
    source = build()
    for split in SPLITS:
        assert source.count(split) == len(source.load(split)["label"])
