"""Mirroring."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from edgekd.data.augment.flip import Flip, flip
from edgekd.ops.draws import Draws


def batch(count=32):
    image = torch.arange(count * 2 * 3 * 4, dtype=torch.float32).reshape(count, 2, 3, 4)
    return {"image": image, "labels": torch.arange(count)}


def seeded(seed=0, count=32):
    return Draws(seed, 0, torch.arange(count))


@given(seed=st.integers(0, 2**16))
def test_each_picture_is_itself_or_its_mirror_image(seed):
    before = batch()
    after = flip(Flip(), before, seeded(seed))
    for old, new in zip(before["image"], after["image"], strict=True):
        assert torch.equal(new, old) or torch.equal(new, old.flip(-1))
    assert torch.equal(after["labels"], before["labels"])


def test_never_and_always():
    image = batch()["image"]
    assert torch.equal(flip(Flip(probability=0.0), batch(), seeded())["image"], image)
    assert torch.equal(flip(Flip(probability=1.0), batch(), seeded())["image"], image.flip(-1))


def test_about_half_of_many_are_mirrored_and_not_all_alike():
    before = batch(2000)
    after = flip(Flip(), before, seeded(count=2000))
    changed = (after["image"] != before["image"]).flatten(1).any(1).float().mean()
    assert 0.45 < changed < 0.55


def test_a_seed_repeats_and_the_batch_given_stays_as_it_was():
    given_batch = batch()
    first = flip(Flip(), given_batch, seeded(3))["image"]
    assert torch.equal(first, flip(Flip(), batch(), seeded(3))["image"])
    assert torch.equal(given_batch["image"], batch()["image"])
