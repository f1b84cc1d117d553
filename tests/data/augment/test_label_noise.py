"""Wrong labels: which, how many, and always the same."""

import copy

import pytest
import torch

from edgekd.core.protocols.training import Setting
from edgekd.core.refs import UseTask
from edgekd.data.augment.label_noise import LabelNoise, LabelNoiseOptions, check
from edgekd.ops.draws import Draws

TASK = UseTask.model_validate({"kind": "image_classification", "data": "digits"}).build()
IDS = torch.arange(6000)
BATCH = {"labels": IDS % 10, "ids": IDS, "image": torch.zeros(6000, 1)}


def noisy(view=0, batch=BATCH, **options):
    change = LabelNoise(LabelNoiseOptions(**options))
    change.prepare(Setting({}, 6000, [*"0123456789"]))
    return change(batch, Draws(view, view, batch["ids"]))["labels"]


def test_its_share_of_the_labels_is_wrong_and_all_others_are_as_likely():
    found = noisy(share=0.4)
    wrong = found != BATCH["labels"]
    assert wrong.float().mean().item() == pytest.approx(0.4, abs=0.02)
    counts = torch.bincount((found - BATCH["labels"])[wrong] % 10, minlength=10)
    assert counts[0] == 0
    assert (counts[1:] > 200).all()


def test_only_named_classes_change_and_into_each_other():
    found, named = noisy(share=0.5, classes=(2, 9, 4)), torch.tensor([2, 4, 9])
    inside = torch.isin(BATCH["labels"], named)
    assert torch.equal(found[~inside], BATCH["labels"][~inside])
    assert torch.isin(found[inside], named).all()
    assert (found != BATCH["labels"])[inside].float().mean().item() == pytest.approx(0.5, abs=0.03)


def test_the_next_of_them_goes_round():
    found = noisy(share=1.0, classes=(2, 9, 4), flip="next")
    assert {(a, b) for a, b in zip(BATCH["labels"].tolist(), found.tolist(), strict=True)} == {
        *((c, c) for c in (0, 1, 3, 5, 6, 7, 8)), (2, 4), (4, 9), (9, 2)
    }  # fmt: skip
    assert torch.equal(noisy(share=0.0), BATCH["labels"])


def test_a_label_belongs_to_its_example_in_every_epoch_batch_and_order():
    some = torch.tensor([700, 3, 41])
    batch = {name: column[some] for name, column in BATCH.items()}
    assert torch.equal(noisy(view=5, batch=batch), noisy()[some])
    assert not torch.equal(noisy(seed=1), noisy())


@pytest.mark.parametrize(
    ("options", "columns", "said"),
    [
        ({"classes": (3, 10)}, ("labels",), "there is no class 10; the classes are 0 to 9."),
        ({"classes": (3,)}, ("labels",), "one class alone has no wrong label."),
        ({}, ("ids",), "this task has none"),
        ({"classes": (3, 4)}, ("labels",), ""),
    ],
)
def test_a_plan_refuses_classes_that_are_not_there(options, columns, said):
    task = copy.copy(TASK)
    task.columns = columns
    problems = [*check(LabelNoiseOptions(**options), task)]
    assert [said in p.message and bool(p.next_step) for p in problems] == [True] * bool(said)
