"""From a batch to its loss: what the terms are given."""

import torch
from torch.testing import assert_close

from edgekd.core.kinds import objective
from edgekd.core.refs import UseObjective, UseTask
from edgekd.testing.runs import ExampleRun
from edgekd.train.lesson import Lesson
from edgekd.train.loop import train
from edgekd.train.optim import Train
from edgekd.train.teaching import Said
from edgekd.train.terms import Terms, weight_of
from edgekd.train.views import Views


class Watched:
    """A teacher that notes what it is shown."""

    def __init__(self):
        self.shown = []

    def __call__(self, batch, view):
        self.shown.append(batch["image"])
        return Said({"logits": torch.zeros(len(batch["ids"]), 10)}, {})


def test_terms_see_the_labels_of_mixed_examples_and_a_teacher_the_mixed_examples(tmp_path, plugged):
    seen = []

    def noting(config, *, student_logits, teacher_logits, labels):
        seen.append(labels)
        return (student_logits.sum(-1) + teacher_logits.sum(-1)) * 0

    plugged(objective, "noting", noting)
    given = {"kind": "image_classification", "data": "digits", "train_examples": 60}
    task = UseTask.model_validate(given).build()
    options = {"epochs": 1, "batch_size": 30, "accumulate": 2}
    mixup = ({"kind": "mixup", "mix_fraction": 0.5},)
    terms = Terms([UseObjective.model_validate("noting")])
    student, teacher = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)), Watched()
    lesson = Lesson(
        ExampleRun(tmp_path, task),
        student,
        {"teacher": teacher},
        terms,
        Train.model_validate(options | {"augment": mixup}),
        Views(0),
    )
    train(lesson)
    assert [part.shape for part in seen] == [(15, 10)] * 4
    labels, images = torch.cat(seen), torch.cat(teacher.shown)
    assert_close(labels.sum(1), torch.ones(60))
    known = [image for batch in task.batches("train", 64, device=torch.device("cpu"))
             for image in batch["image"]]  # fmt: skip
    plain = sum(any(torch.equal(image, one) for one in known) for image in images)
    assert 30 <= plain < 40, "about half of the examples were blended before the teacher saw them"
    assert (labels.amax(1) == 1).sum() >= 30


def test_a_rising_weight_follows_the_steps_and_a_trial_has_all_of_it(tmp_path, monkeypatch):
    weights = []

    def noted(use, signals):
        weights.append(float(weight_of(use, signals)))
        return weights[-1]

    monkeypatch.setattr("edgekd.train.terms.weight_of", noted)
    monkeypatch.setattr("edgekd.train.precision.made_for_it", lambda device: True)
    given = {"kind": "image_classification", "data": "digits", "train_examples": 60}
    lesson = Lesson(
        ExampleRun(tmp_path, UseTask.model_validate(given).build()),
        torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)),
        {},
        Terms([UseObjective.model_validate({"kind": "cross_entropy", "warmup": 0.5})]),
        Train(epochs=4, batch_size=30, precision="auto"),
        Views(0),
    )
    train(lesson)
    assert weights[:-8] == [1.0] * 4, "two batches, each in both precisions"
    assert weights[-8:] == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0]


def test_a_term_of_two_views_is_given_what_the_student_makes_of_each(tmp_path, plugged):
    seen = []

    def both(config, *, student_feature, student_second_feature, student_logits):
        seen.append((student_feature, student_second_feature))
        return student_logits.sum(-1) * 0 + student_second_feature.sum(-1) * 0

    plugged(objective, "both", both)
    given = {"kind": "image_classification", "data": "digits", "train_examples": 20}
    task = UseTask.model_validate(given).build()
    student = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    term = UseObjective.model_validate({"kind": "both", "tap": {"student": "0"}})
    train_ = Train.model_validate({"epochs": 1, "batch_size": 20, "augment": ("mix_distribution",)})
    lesson = Lesson(ExampleRun(tmp_path, task), student, {}, Terms([term]), train_, Views(0))
    train(lesson)
    (batch,) = task.batches("train", 20, device=torch.device("cpu"))
    first, second = seen[-1]
    assert_close(first.sort(0)[0], batch["image"].flatten(1).sort(0)[0])
    assert not torch.equal(first, second)
    spread = [(one - one.mean(1, True)) / one.std(1, keepdim=True) for one in (first, second)]
    assert_close(*spread, rtol=1e-2, atol=1e-2)
