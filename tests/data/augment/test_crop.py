"""Random shifts."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgekd.core.errors import StageError
from edgekd.core.refs import UseTask
from edgekd.data.augment.crop import Crop, check, crop
from edgekd.ops.draws import Draws

NUMPY_MODES = {"edge": "edge", "reflect": "reflect", "zero": "constant"}


def batch(count=16, height=5, width=7):
    rng = torch.Generator().manual_seed(1)
    return {"image": torch.rand(count, 2, height, width, generator=rng), "ids": torch.arange(count)}


def seeded(seed=0, count=16):
    return Draws(seed, 0, torch.arange(count))


@given(
    seed=st.integers(0, 2**16),
    padding=st.integers(1, 4),
    fill=st.sampled_from(["edge", "reflect", "zero"]),
)
def test_each_picture_is_one_window_of_its_padded_self(seed, padding, fill):
    before = batch()
    after = crop(Crop(padding=padding, fill=fill), before, seeded(seed))
    for old, new in zip(before["image"].numpy(), after["image"].numpy(), strict=True):
        wide = np.pad(old, ((0, 0), (padding,) * 2, (padding,) * 2), mode=NUMPY_MODES[fill])
        windows = np.lib.stride_tricks.sliding_window_view(wide, old.shape)[0]
        assert any((window == new).all() for window in windows.reshape(-1, *old.shape))


def test_every_shift_up_to_the_padding_occurs_and_pictures_move_on_their_own():
    image = torch.zeros(500, 1, 5, 5)
    image[:, 0, 2, 2] = 1
    after = crop(Crop(padding=2, fill="zero"), {"image": image}, seeded(count=500))["image"]
    places = {tuple(place.tolist()) for place in after[:, 0].nonzero()[:, 1:]}
    assert places == {(row, column) for row in range(5) for column in range(5)}


def test_a_seed_repeats_and_other_columns_are_left_alone():
    first, second = (crop(Crop(padding=2), batch(), seeded(3)) for _ in range(2))
    assert torch.equal(first["image"], second["image"])
    assert torch.equal(first["ids"], torch.arange(16))


def test_more_padding_than_picture_is_refused():
    with pytest.raises(StageError, match=r"crop pads by 5 pixels.*5x7"):
        crop(Crop(padding=5), batch(), seeded())


def test_pictures_that_are_too_small_are_told_before_anything_runs():
    task = UseTask.model_validate({"kind": "image_classification", "data": "digits"}).build()
    assert not list(check(Crop(padding=7), task))
    (problem,) = check(Crop(padding=8), task)
    assert problem.path == "padding"
    assert problem.message == "8 pixels are added, but the pictures have 8x8."
