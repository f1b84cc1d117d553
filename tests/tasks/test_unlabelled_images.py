"""Pictures without labels: no label reaches anybody, and what needs one is refused."""

import numpy as np
import pytest
import torch

from edgekd.core.errors import RequestError
from edgekd.core.refs import UseTask, as_read
from edgekd.testing.conformance import EVERY_TASK

CPU = torch.device("cpu")
PHOTOS = {
    "kind": "sample_photos",
    "size": 16,
    "train": 6,
    "synthetic": 3,
    "validation": 4,
    "test": 5,
}

M, S = {"mean": [0.5, 0.25, 0.125]}, {"std": [0.5, 1.0, 2.0]}


def build(**options):
    made = {"kind": "unlabelled_images", "data": PHOTOS, "classes": 3} | options
    return UseTask.model_validate(as_read(made)).build()


@pytest.mark.parametrize("promise", EVERY_TASK, ids=lambda p: p.__name__)
def test_it_keeps_the_promises_of_tasks(promise):
    promise(build())


@pytest.mark.parametrize("data", [PHOTOS, "digits"])
def test_a_batch_has_pictures_and_ids_alone(data):
    task = build(data=data)
    (batch,) = task.batches("test", 10_000, device=CPU)
    assert {*batch} == {"image", "ids"}
    assert len(batch["ids"]) == task.size("test") == task.expected_size("test")
    assert batch["image"].shape[1:] == task.signature().inputs[0].shape[1:]


def test_pictures_are_normalised_as_the_model_was_trained():
    task = build(mean=[0.5, 0.25, 0.0], std=[0.5, 1.0, 2.0])
    (batch,) = task.batches("validation", 10, device=CPU)
    image = task.source.load("validation")["image"].transpose(0, 3, 1, 2) / 255
    expected = (image - np.array([0.5, 0.25, 0])[:, None, None]) / np.array([0.5, 1, 2])[
        :, None, None
    ]
    np.testing.assert_allclose(batch["image"].numpy(), expected, atol=1e-6)


def test_without_a_word_mean_and_deviation_are_those_of_the_training_pictures():
    (batch,) = build().batches("train", 100, device=CPU)
    torch.testing.assert_close(batch["image"].mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    told = build().facts()["preprocessing"]["mean"]
    image = build().source.load("train")["image"]
    np.testing.assert_allclose(told, image.mean((0, 1, 2)) / 255)


def test_where_one_of_both_is_told_the_other_is_that_of_the_training_pictures():
    own, mean, std = (build(**o).facts()["preprocessing"] for o in ({}, M, S))
    assert (mean["mean"], mean["std"]) == (M["mean"], own["std"])
    assert (std["mean"], std["std"]) == (own["mean"], S["std"])


def test_classes_are_a_number_or_names():
    assert build().facts()["labels"] == ["0", "1", "2"]
    named = build(classes=["cat", "dog"])
    assert named.facts()["labels"] == ["cat", "dog"]
    assert named.signature().outputs[0].shape == ("batch", 2)


def test_one_class_and_channels_that_are_not_there_are_refused():
    (told,) = build(classes=1).check()
    assert "there are 1 classes" in str(told)
    with pytest.raises(RequestError, match="mean has 1 and std 1 values for 3 channels"):
        build(mean=[0.5], std=[0.5]).audit()


def test_a_split_without_such_pictures_is_refused(monkeypatch):
    task = build()
    monkeypatch.setattr(
        task.source, "load", lambda _: {"image": np.zeros((0, 16, 16, 3), np.uint8)}
    )
    with pytest.raises(RequestError) as caught:
        task.audit()
    assert [str(p).count("has images uint8 (0, 16, 16, 3)") for p in caught.value.problems] == [
        1
    ] * 3
