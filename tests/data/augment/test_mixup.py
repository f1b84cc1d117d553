"""Blended pairs: how many, with whom, how much, and for which tasks."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from edgekd.core.refs import UseTask
from edgekd.data.augment.mixup import Mixup, check, mixup
from edgekd.ops.draws import Draws
from edgekd.ops.mixing import OTHER_LABELS, OWN_SHARE


def batch(count=16):
    image = torch.randn(count, 1, 2, 3, generator=torch.Generator().manual_seed(1))
    return {"image": image, "labels": torch.arange(count), "ids": torch.arange(count)}


def seeded(seed=0, count=16, view=0):
    return Draws(seed, view, torch.arange(count))


@given(
    count=st.integers(2, 20), fraction=st.floats(0, 1), seed=st.integers(0, 2**16)
)  # labels are the ids, so that a partner can be told by its label
def test_exactly_the_share_asked_for_is_mixed_each_with_somebody_else(count, fraction, seed):
    given_batch, drawn = batch(count), seeded(seed, count)
    mixed = mixup(Mixup(mix_fraction=fraction), given_batch, drawn)
    share, partner = mixed[OWN_SHARE], mixed[OTHER_LABELS]
    assert (share < 1).sum() == round(fraction * count)
    assert (partner != given_batch["ids"]).all()
    weight = share[:, None, None, None]
    wanted = weight * given_batch["image"] + (1 - weight) * given_batch["image"][partner]
    assert_close(mixed["image"], wanted)
    assert torch.equal(mixed["labels"], given_batch["labels"])
    kept = share == 1
    assert torch.equal(mixed["image"][kept], given_batch["image"][kept])


def test_a_seed_and_view_repeat_and_the_batch_given_stays_as_it_was():
    before = batch()
    first = mixup(Mixup(), before, seeded(3))
    again = mixup(Mixup(), batch(), seeded(3))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert torch.equal(before["image"], batch()["image"])
    assert not torch.equal(first[OWN_SHARE], mixup(Mixup(), batch(), seeded(3, view=1))[OWN_SHARE])


def test_who_is_mixed_and_with_whom_changes_from_view_to_view():
    views = [mixup(Mixup(), batch(), seeded(view=view)) for view in range(60)]
    often = torch.stack([(mixed[OWN_SHARE] < 1).double() for mixed in views]).mean(0)
    assert 0.15 < often.min() <= often.max() < 0.7
    assert len({int(mixed[OTHER_LABELS][0]) for mixed in views}) > 8


def test_an_example_alone_stays_as_it_is():
    alone = {name: column[:1] for name, column in batch().items()}
    mixed = mixup(Mixup(mix_fraction=1.0), alone, seeded(count=1))
    assert_close(mixed["image"], alone["image"])
    assert torch.equal(mixed[OTHER_LABELS], alone["labels"])


def test_a_task_of_tokens_or_without_classes_is_refused(tmp_path):
    rows = [f"text number {i},{'spam' if i % 2 else 'ham'}" for i in range(40)]
    (tmp_path / "mails.csv").write_text("\n".join(["text,label", *rows]))
    data = {"kind": "text_file", "train": str(tmp_path / "mails.csv")}
    texts = UseTask.model_validate({"kind": "text_classification", "data": data}).build()
    (problem,) = check(Mixup(), texts)
    assert "input_ids and attention_mask of this task are choices" in problem.message
    bare = {"kind": "unlabelled_images", "data": "digits", "classes": 10}
    (problem,) = check(Mixup(), UseTask.model_validate(bare).build())
    assert problem.message == "mixup shares out classes; this task has none."
    digits = UseTask.model_validate({"kind": "image_classification", "data": "digits"}).build()
    assert list(check(Mixup(), digits)) == []


@pytest.mark.parametrize("options", [{"alpha": 0.0}, {"mix_fraction": 1.5}])
def test_shares_outside_of_their_range_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Mixup(**options)
