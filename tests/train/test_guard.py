"""A loss that is not finite stops the training at its step, and says all that is known of it."""

import json

import pytest
import torch
from torch import nn

from edgekd.core.checkpoint import Checkpoint
from edgekd.core.errors import StageError
from edgekd.core.kinds import augment, objective
from edgekd.core.refs import UseObjective, UseTask
from edgekd.testing.runs import ExampleRun
from edgekd.train.guard import Watch, note
from edgekd.train.lesson import Lesson
from edgekd.train.loop import train
from edgekd.train.optim import Train
from edgekd.train.terms import Terms
from edgekd.train.views import Views

TASK = UseTask.model_validate(
    {"kind": "image_classification", "data": "digits", "train_examples": 100}
).build()


class Bursts:
    """Is fine for five batches; then its value, or only its gradient, is not."""

    gradient_only = False

    def __init__(self, config):
        self.steps = 0

    def __call__(self, *, student_logits):
        self.steps += 1
        if self.steps == 6:
            zero = student_logits.sum(1) * 0
            return zero.sqrt() if self.gradient_only else zero / 0
        return student_logits.square().mean(1)


def spoils_two(config, batch, draws):
    """Make the pictures 3 and 7 of all, where they are among the batch, not finite."""
    image = batch["image"].clone()
    image[(batch["ids"] == 3) | (batch["ids"] == 7), 0, 2, 2] = float("nan")
    return batch | {"image": image}


@pytest.fixture(scope="module", autouse=True)
def plug_ins(plugged):
    plugged(objective, "test_bursts", Bursts)
    plugged(augment, "test_spoils_two", spoils_two)


def lesson(folder, objectives=("cross_entropy",), every_steps=None, **options):
    torch.manual_seed(0)
    student = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    return Lesson(
        ExampleRun(folder, TASK, checkpoint=Checkpoint(every_steps=every_steps)),
        student,
        {},
        Terms([UseObjective.model_validate(one) for one in objectives]),
        Train.model_validate({"epochs": 3, "batch_size": 25} | options),
        Views(0),
    )


def refused(taught):
    """Return the message, the advice and what was written down."""
    with pytest.raises(StageError) as caught:
        train(taught)
    file = taught.run.unfinished / "non_finite.json"
    assert str(file) in caught.value.message
    return caught.value.message, caught.value.next_step, json.loads(file.read_text())


def test_it_names_step_term_and_batch_and_writes_down_the_rest(tmp_path):
    taught = lesson(tmp_path, ("cross_entropy", "test_bursts"), learning_rate=0.25)
    message, advice, found = refused(taught)
    assert "the loss is not finite in step 6 of 12 (epoch 2)" in message
    assert "test_bursts is nan" in message
    assert advice == "Lower train.learning_rate from 0.25, or set train.clip_norm."
    assert (found["step"], found["epoch"], found["loss"]) == (6, 2, "nan")
    assert found["terms"]["test_bursts"] == "nan"
    assert 0 < found["terms"]["cross_entropy"] < 10
    assert 0 < found["learning_rate"] <= 0.25
    assert len(set(found["ids"])) == 25
    assert ", ".join(map(str, found["ids"][:8])) in message
    assert "(25 in all)" in message


def test_no_gradient_of_it_reaches_the_weights(tmp_path):
    taught = lesson(tmp_path, ("cross_entropy", "test_bursts"))
    refused(taught)
    assert all(p.isfinite().all() for p in taught.student.parameters())


def test_examples_that_are_not_finite_themselves_are_named(tmp_path):
    message, advice, found = refused(lesson(tmp_path, augment=("test_spoils_two",)))
    spoiled = found["inputs_not_finite"]["image"]
    assert spoiled
    assert set(spoiled) == {3, 7} & set(found["ids"])
    assert (
        f"The image of example{'s' * (len(spoiled) > 1)} {', '.join(map(str, spoiled))}" in message
    )
    assert advice.startswith("Mend these examples")


def test_a_gradient_that_is_not_finite_is_found_by_the_next_loss(tmp_path, monkeypatch):
    monkeypatch.setattr(Bursts, "gradient_only", True)
    taught = lesson(tmp_path, ("cross_entropy", "test_bursts"), clip_norm=2.0)
    message, advice, found = refused(taught)
    assert found["step"] == 6
    assert "the weights are not finite after step 6 of 12 (epoch 2), though its loss was" in message
    assert advice.endswith("or train.clip_norm from 2.")


@pytest.mark.parametrize("gradient_only", [False, True])
@pytest.mark.parametrize("every", [1, 2])
def test_no_checkpoint_is_spoiled(tmp_path, monkeypatch, gradient_only, every):
    """Checkpoints from before the step stay; with `every` 1 the spoiled state itself was due."""
    monkeypatch.setattr(Bursts, "gradient_only", gradient_only)
    refused(lesson(tmp_path, ("cross_entropy", "test_bursts"), every_steps=every))
    again = lesson(tmp_path, ("cross_entropy", "test_bursts"))
    refused(again)
    assert again.run.notices == []
    (resumed,) = [done for done, _, what in again.run.told if what == "resumed"]
    assert resumed == 5 if every == 1 else 4


def test_a_gradient_that_spoils_the_last_step_of_an_epoch_is_found_before_the_score(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(Bursts, "gradient_only", True)
    taught = lesson(tmp_path, ("cross_entropy", "test_bursts"), batch_size=20, epochs=1)
    taught.terms.built["test_bursts"].steps = 1
    with pytest.raises(StageError, match="weights are not finite after step 5 of 5"):
        train(taught)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_gpu_is_not_waited_for_at_every_step_and_no_step_is_missed(tmp_path, value):
    run = ExampleRun(tmp_path, TASK, device="cuda")
    watch = Watch(run, Train(), nn.Linear(1, 1), 100)
    batch = {"image": torch.zeros(2, 3), "ids": torch.tensor([4, 5])}
    step = 0

    def teach():
        nonlocal step
        for step in range(1, 101):
            loss = torch.tensor(float(value) if step == 30 else 1.0)
            watch.see(note(step, 1, 0.1, batch, {"loss": loss, "term": loss}))

    with pytest.raises(StageError, match="not finite in step 30 of 100"):
        teach()
    assert 30 < step <= 50


def test_a_look_brings_the_numbers_of_its_step_and_costs_a_gpu_one_wait_in_twenty_steps(
    tmp_path, monkeypatch
):
    waits = []
    read = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda t: waits.append(len(t)) or read(t))
    monkeypatch.setattr(torch.Tensor, "item", None)
    watch = Watch(ExampleRun(tmp_path, TASK, device="cuda"), Train(), nn.Linear(1, 1), 100)
    batch = {"image": torch.zeros(2, 3), "ids": torch.tensor([4, 5])}
    told = {}
    for step in range(1, 101):
        terms = {"kd": torch.tensor(step / 4, dtype=torch.float64), "mine": torch.tensor(2)}
        watch.see(note(step, 1, step / 8, batch, {"loss": torch.tensor(float(step))} | terms))
        if found := watch.numbers(step):
            told[step] = found
    assert [*told] == [20, 40, 60, 80, 100]
    assert told[40] == {
        "step/loss": 40.0, "step/terms/kd": 10.0, "step/terms/mine": 2.0, "step/learning_rate": 5.0,
    }  # fmt: skip
    assert len(waits) == 5
    assert watch.numbers(99) == {}
