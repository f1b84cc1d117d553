"""Views of examples: the same for all who see them."""

import torch

from edgekd.core import kinds
from edgekd.core.protocols.training import Prepares, Setting
from edgekd.core.refs import UseAugment
from edgekd.train.views import Views, channels_last, view_of

EACH = [plugin for plugin in kinds.augment if plugin.traits.get("each")]
AUGMENTS = [UseAugment.model_validate(u).build() for u in ({"kind": "crop", "padding": 1}, "flip")]


def batch(ids):
    rng = torch.Generator().manual_seed(0)
    pictures = torch.rand(40, 1, 6, 6, generator=rng)
    return {"image": pictures[ids], "labels": ids % 3, "ids": ids}


def test_an_example_looks_the_same_in_any_batch_and_another_way_in_another_view():
    whole = view_of(batch(torch.arange(40)), AUGMENTS, 7, 2)["image"]
    some = torch.tensor([31, 4, 4, 17])
    assert torch.equal(view_of(batch(some), AUGMENTS, 7, 2)["image"], whole[some])
    assert not torch.equal(view_of(batch(torch.arange(40)), AUGMENTS, 7, 3)["image"], whole)
    assert not torch.equal(view_of(batch(torch.arange(40)), AUGMENTS, 8, 2)["image"], whole)


def test_two_changes_of_one_kind_do_not_draw_alike():
    flips = [UseAugment.model_validate("flip").build()] * 2
    twice = view_of(batch(torch.arange(40)), flips, 0, 0)["image"]
    assert not torch.equal(twice, batch(torch.arange(40))["image"])


def test_every_augmentation_that_says_so_changes_each_example_on_its_own():
    assert {plugin.name for plugin in EACH} >= {"crop", "flip", "none"}
    for plugin in EACH:
        change = plugin.build(
            plugin.config.model_validate({"padding": 1} if plugin.name == "crop" else {})
        )
        if isinstance(change, Prepares):
            change.prepare(Setting({"image": (1, 6, 6)}, 40, ("a", "b", "c")))
        whole = view_of(batch(torch.arange(40)), [change], 0, 1)
        for one in (0, 13, 39):
            alone = view_of(batch(torch.tensor([one])), [change], 0, 1)
            for name in ("image", "labels"):
                assert torch.equal(alone[name][0], whole[name][one]), plugin.name


def test_views_come_again_after_their_number():
    assert [Views(0, 3).in_epoch(epoch) for epoch in range(1, 8)] == [0, 1, 2, 0, 1, 2, 0]
    assert [Views(0).in_epoch(epoch) for epoch in (1, 2, 9)] == [0, 1, 8]


def test_pictures_alone_change_their_layout():
    laid = channels_last({"image": torch.rand(2, 3, 4, 4), "ids": torch.arange(2)})
    assert laid["image"].is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(laid["ids"], torch.arange(2))
