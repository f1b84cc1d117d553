"""Few labels: which are looked at, which terms see what, and what cannot be done with some."""

import pytest
import torch
from torch.testing import assert_close

from edgekd.core.kinds import objective
from edgekd.core.refs import UseObjective, UseTask
from edgekd.objectives.logits.cross_entropy import CrossEntropy, cross_entropy
from edgekd.objectives.logits.kd import KD, kd
from edgekd.testing.runs import ExampleRun
from edgekd.testing.signals import example_signals
from edgekd.train.labelled import (
    Pool,
    check_labelled,
    known_labels,
    only,
    rows_for,
    without_others,
)
from edgekd.train.lesson import Lesson
from edgekd.train.loop import train
from edgekd.train.optim import Train
from edgekd.train.teaching import Said
from edgekd.train.terms import Terms
from edgekd.train.views import Views

NEEDS = ("student_logits", "teacher_logits", "labels", "ids", "progress")


@pytest.fixture(scope="module")
def task():
    given = {"kind": "image_classification", "data": "digits", "train_examples": 60}
    return UseTask.model_validate(given).build()


def uses(*written):
    return [UseObjective.model_validate(value) for value in written]


def hidden(rows):
    signals = example_signals(NEEDS)
    return without_others(signals, torch.tensor(rows))


def loss_of(signals, *written):
    teacher = {"teacher": Said({"logits": signals["teacher_logits"]}, {})}
    return Terms(uses(*written))(signals, {}, teacher)


def test_exactly_so_many_are_drawn_by_the_seed_and_fewer_are_among_more(task, tmp_path):
    def known(count, seed=0):
        return known_labels(ExampleRun(tmp_path, task, seed=seed), count)

    assert known(None) is None
    assert known(10).sum() == 10
    assert known(60).all()
    assert torch.equal(known(10), known(10))
    assert not torch.equal(known(10), known(10, seed=1))
    assert (known(30) | ~known(10)).all()


@pytest.mark.parametrize(("share", "labelled"), [(0.5, 10), (0.25, 5), (0.0, 0)])
def test_a_share_of_each_batch_is_drawn_among_the_labelled_and_the_rest_stays(
    task, tmp_path, share, labelled
):
    run, options = ExampleRun(tmp_path, task), Train(labelled=4, labelled_share=share)
    known = known_labels(run, 4)
    pool = Pool(run, known, options)
    batch = next(task.batches("train", 20, device=torch.device("cpu")))
    mixed = pool.drawn_into(batch, 7)
    drawn = (torch.arange(labelled) * 20 / max(1, labelled)).long()
    assert known[mixed["ids"][drawn]].all()
    assert mixed["labelled_share"].tolist() == [known[mixed["ids"]].float().mean()] * 20
    whole = {i: image for b in task.batches("train", 60, device=torch.device("cpu"))
             for i, image in zip(b["ids"].tolist(), b["image"], strict=True)}  # fmt: skip
    for number, image in zip(mixed["ids"].tolist(), mixed["image"], strict=True):
        assert torch.equal(image, whole[number])
    stayed = torch.ones(20, dtype=torch.bool).index_fill_(0, drawn, False)
    assert torch.equal(mixed["ids"][stayed], batch["ids"][stayed])
    again, later = pool.drawn_into(batch, 7), pool.drawn_into(batch, 8)
    assert torch.equal(again["ids"], mixed["ids"])
    assert torch.equal(later["ids"], mixed["ids"]) == (share == 0)


def test_a_term_of_labels_has_the_mean_of_labelled_examples_and_another_that_of_all():
    rows = [True, False, True, True, False, False]
    signals = hidden(rows)
    assert signals["labels"][~torch.tensor(rows)].tolist() == [-1, -1, -1]
    _, means = loss_of(signals, "cross_entropy", "kd")
    some = torch.tensor(rows)
    hard = cross_entropy(CrossEntropy(), student_logits=signals["student_logits"][some],
                         labels=signals["labels"][some])  # fmt: skip
    soft = kd(KD(), student_logits=signals["student_logits"],
              teacher_logits=signals["teacher_logits"])  # fmt: skip
    assert_close(means, {"cross_entropy": hard.mean(), "kd": soft.mean()})


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_batch_in_parts_gives_the_same_step(task, tmp_path, share):
    weights = {}
    for parts in (1, 4):
        torch.manual_seed(0)
        student = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
        options = {"epochs": 2, "batch_size": 20, "optimizer": "sgd", "learning_rate": 0.05,
                   "accumulate": parts, "labelled": 12, "labelled_share": share}  # fmt: skip
        run = ExampleRun(tmp_path / f"{parts}", task)
        terms = Terms(uses("cross_entropy"))
        history = train(Lesson(run, student, {}, terms, Train(**options), Views(0))).history
        weights[parts] = student[1].weight.detach(), history["epochs"][-1]["loss"]
    assert_close(weights[4][0], weights[1][0], rtol=1e-4, atol=1e-5)
    assert weights[4][1] == pytest.approx(weights[1][1], rel=1e-4)


def test_a_batch_without_labels_teaches_nothing_by_them():
    signals = hidden([False] * 6)
    loss, means = loss_of(signals, "cross_entropy")
    loss.backward()
    assert means["cross_entropy"] == 0
    assert not signals["student_logits"].grad.any()


def test_a_term_that_takes_unlabelled_examples_is_given_all_of_them(plugged):
    signals = hidden([True] * 5 + [False])
    (own,) = uses("dho")
    assert rows_for(own, signals) is None
    (own,) = uses("cross_entropy")
    given = only(rows_for(own, signals), signals)
    assert given["labels"].tolist() == signals["labels"][:5].tolist()
    assert given["progress"].ndim == 0


def test_what_has_no_labels_to_hide_or_needs_all_is_refused(task, plugged):
    class Fitted(torch.nn.Module):
        def __init__(self, config):
            super().__init__()

        def fit(self, batches):
            """Look at all."""

        def forward(self, *, student_logits, labels):
            return student_logits.sum(-1)

    plugged(objective, "fitted", Fitted)

    def said(labelled, terms=("cross_entropy",), of=task, augment=()):
        train = Train.model_validate({"labelled": labelled, "augment": augment})
        return [str(p.message) for p in check_labelled(uses(*terms), train, of)]

    assert said(None) == []
    assert said(60) == []
    assert said(61) == ["61 labels are asked for; there are 60 examples."]
    assert said(9, terms=("fitted",)) == [
        "fitted is fitted to the labels of all training examples."
    ]
    assert said(9, augment=("mixup",)) == ["mixup mixes labels, and some are not to be looked at."]
    bare = {"kind": "unlabelled_images", "data": "digits", "classes": 10}
    bare_task = UseTask.model_validate(bare).build()
    assert said(9, of=bare_task) == ["this task's examples have no labels."]
