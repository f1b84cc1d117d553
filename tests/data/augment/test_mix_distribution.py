"""Pictures in the brightness and contrast of others: what their pixels then come to."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from edgekd.core.refs import UseAugment, UseTask
from edgekd.data.augment.mix_distribution import MixDistribution, mix_distribution, moved
from edgekd.ops.draws import Draws
from edgekd.pipeline.preview import _check_augment

IMAGE = torch.randn(6, 2, 5, 4, generator=torch.Generator().manual_seed(1)) * 2 + 1
IDS = torch.arange(6)


def statistics(image):
    return image.mean((2, 3)), image.std((2, 3), correction=0)


@given(seed=st.integers(0, 2**16))
def test_mean_and_deviation_are_blended_and_nothing_else_is(seed):
    rng = torch.Generator().manual_seed(seed)
    share, partner = torch.rand(6, generator=rng), torch.randperm(6, generator=rng)
    made = moved(IMAGE, share, partner)
    weight = share[:, None]
    for found, own in zip(statistics(made), statistics(IMAGE), strict=True):
        assert_close(found, weight * own + (1 - weight) * own[partner], rtol=1e-4, atol=1e-4)
    shapes = [(x - x.mean((2, 3), True)) / x.std((2, 3), correction=0, keepdim=True)
              for x in (made, IMAGE)]  # fmt: skip
    assert_close(*shapes, rtol=1e-3, atol=1e-3)


def test_the_own_share_alone_or_itself_as_partner_is_the_picture():
    assert_close(moved(IMAGE, torch.ones(6), IDS.flip(0)), IMAGE)
    assert_close(moved(IMAGE, torch.rand(6), IDS), IMAGE)


def test_the_picture_stays_beside_its_second_view_or_gives_way_to_it():
    given_batch = {"image": IMAGE, "ids": IDS}
    second = mix_distribution(MixDistribution(), given_batch, Draws(0, 0, IDS))
    assert torch.equal(second["image"], IMAGE)
    replaced = mix_distribution(MixDistribution(second=False), given_batch, Draws(0, 0, IDS))
    assert {*replaced} == {"image", "ids"}
    assert torch.equal(replaced["image"], second["second_image"])
    assert not torch.equal(replaced["image"], IMAGE)
    other = mix_distribution(MixDistribution(), given_batch, Draws(0, 1, IDS))
    assert not torch.equal(other["second_image"], second["second_image"])


def test_a_picture_of_one_colour_stays_finite():
    flat = torch.cat([torch.full((1, 2, 5, 4), 0.3), IMAGE[:1]])
    assert moved(flat, torch.zeros(2), torch.tensor([1, 0])).isfinite().all()


def test_a_task_of_texts_is_refused(tmp_path):
    rows = [f"text number {i},{'spam' if i % 2 else 'ham'}" for i in range(40)]
    (tmp_path / "mails.csv").write_text("\n".join(["text,label", *rows]))
    data = {"kind": "text_file", "train": str(tmp_path / "mails.csv")}
    texts = UseTask.model_validate({"kind": "text_classification", "data": data}).build()
    (problem,) = _check_augment(UseAugment.model_validate("mix_distribution"), texts)
    assert problem.message.startswith("mix_distribution changes image; this task's examples are")
