"""Which patches are hidden: how many, of whom, when, and what is refused."""

import pytest
import torch
from pydantic import ValidationError

from edgekd.core.kinds import augment
from edgekd.core.refs import UseTask
from edgekd.data.augment.patch_mask import PatchMask, patch_mask, visible_of
from edgekd.ops.draws import Draws

TASK = UseTask.model_validate({"kind": "image_classification", "data": "digits"}).build()


def masked(count=6, view=0, seed=0, **options):
    ids = torch.arange(count)
    batch = {"image": torch.zeros(count, 1, 8, 12), "ids": ids}
    return patch_mask(PatchMask(patch=2, **options), batch, Draws(seed, view, ids))


@pytest.mark.parametrize(
    ("patches", "ratio", "visible"),
    [(196, 0.75, 49), (196, 0.95, 10), (196, 0.98, 4), (10, 0.9, 1), (4, 0.99, 1), (16, 0.75, 4)],
)
def test_as_many_stay_visible_as_the_paper_says_and_never_none(patches, ratio, visible):
    assert visible_of(patches, ratio) == visible


def test_every_patch_is_visible_or_hidden_once():
    found = masked()
    assert found["visible"].shape == (6, 6)
    assert found["hidden"].shape == (6, 18)
    shuffle = torch.cat((found["visible"], found["hidden"]), 1)
    assert torch.equal(shuffle.sort(1).values, torch.arange(24).expand(6, -1))
    x = torch.randn(6, 24)
    assert torch.equal(x.gather(1, shuffle).gather(1, shuffle.argsort(1)), x)


def test_what_is_hidden_belongs_to_the_example_and_the_epoch():
    whole = masked()
    assert torch.equal(masked(count=3)["visible"], whole["visible"][:3])
    for other in (masked(view=1), masked(seed=1)):
        assert not torch.equal(other["visible"], whole["visible"])
    assert len({tuple(row) for row in whole["visible"].tolist()}) == 6


def test_no_patch_is_hidden_more_often_than_others():
    hidden = torch.cat([masked(400, view=v)["hidden"] for v in range(5)]).flatten().bincount()
    assert (hidden / 2000 - 0.75).abs().max() < 0.05  # five standard deviations


def problems(**options):
    plugin = augment.get("patch_mask")
    return [(p.path, p.message) for p in plugin.traits["check"](PatchMask(**options), TASK)]


def test_pictures_are_made_of_whole_patches_of_which_some_are_hidden():
    assert problems(patch=2) == []
    wrong = [("patch", "pictures of 8x8 are not made of whole patches.")]
    assert problems(patch=3) == problems(patch=16) == wrong
    assert problems(patch=4, ratio=0.1) == [("ratio", "of 4 patches a share of 0.1 hides none.")]
    with pytest.raises(ValidationError):
        PatchMask(patch=2, ratio=1.0)
