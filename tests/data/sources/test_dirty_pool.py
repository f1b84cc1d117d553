"""A pool that nobody cleaned, made of another source's pictures."""

import numpy as np
import pytest
from pydantic import ValidationError

from edgekd.core.refs import UseSource, UseTask
from edgekd.testing.conformance import EVERY_TASK

DIGITS = {"kind": "digits", "aside": 0.1, "train_on": "aside"}
CLEAN = {"contrast": 0.0, "brightness": 0.0, "grain": 0.0}


def build(**options):
    return UseSource.model_validate({"kind": "dirty_pool", "of": DIGITS, **options}).build()


def of_kind(source, number):
    columns = source.load("train")
    return columns["image"][columns["label"] == number]


def rows(images, *, ordered=True):
    flat = images.reshape(len(images), -1)
    return sorted(map(tuple, (flat if ordered else np.sort(flat)).tolist()))


def test_there_are_as_many_of_each_kind_as_is_asked_for():
    source = build(shuffled=0.5, noise=1.5)
    columns = source.load("train")
    assert np.bincount(columns["label"]).tolist() == [180, 90, 270]
    assert source.labels == ("changed", "shuffled", "noise")
    assert {n: c.shape[1:] for n, c in columns.items()} == source.shapes
    assert columns["image"].dtype == np.uint8
    assert (columns["label"][:-1] > columns["label"][1:]).any(), "kinds are mixed"


def test_pictures_are_the_sources_where_nothing_is_changed_and_others_their_pixels():
    source = build(**CLEAN, shuffled=1.0)
    given = UseSource.model_validate(DIGITS).build().load("train")["image"]
    assert rows(of_kind(source, 0)) == rows(given)
    assert rows(of_kind(source, 1), ordered=False) == rows(given, ordered=False)
    assert rows(of_kind(source, 1)) != rows(given)


@pytest.mark.parametrize("how", [{"contrast": 0.5}, {"brightness": 0.2}, {"grain": 0.05}])
def test_every_picture_comes_once_and_changed(how):
    plain, other = (of_kind(build(**CLEAN | own), 0).astype(int) for own in ({}, how))
    assert (plain != other).any((1, 2, 3)).mean() > 0.95
    together = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(plain, other, strict=True)]
    assert np.mean(together) > 0.9


def test_the_seed_alone_decides():
    first, again, other = (build(seed=seed).load("train")["image"] for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_its_files_are_those_of_the_source():
    assert build().files() == UseSource.model_validate(DIGITS).build().files()


@pytest.mark.parametrize("options", [{"shuffled": -1.0}, {"contrast": 2.0}])
def test_what_makes_no_pool_is_refused(options):
    with pytest.raises(ValidationError, match=next(iter(options))):
        build(**options)


@pytest.mark.parametrize("promise", EVERY_TASK, ids=lambda p: p.__name__)
def test_a_task_of_it_keeps_the_promises_of_tasks(promise):
    data = {"kind": "dirty_pool", "of": DIGITS}
    given = {"kind": "unlabelled_images", "data": data, "classes": 10}
    promise(UseTask.model_validate(given).build())
