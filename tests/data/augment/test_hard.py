"""Learned changes of pictures: what moves, which way, whose turn it is, and what stays."""

import copy
from math import exp, log

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.testing import assert_close

from edgekd.core.protocols.training import Setting
from edgekd.core.refs import UseAugment, UseObjective, UseTask
from edgekd.data.augment.hard import Hard, HardOptions, check
from edgekd.ops.draws import Draws
from edgekd.testing.runs import ExampleRun
from edgekd.train.lesson import Lesson
from edgekd.train.loop import train
from edgekd.train.optim import Train
from edgekd.train.teaching import Online
from edgekd.train.terms import Terms
from edgekd.train.views import Views

EVERY = ("affine", "color", "mix")


def pictures(count=8, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return {"image": torch.randn(count, 1, 8, 8, generator=rng), "ids": torch.arange(count)}


def made(seed=0, **options):
    torch.manual_seed(seed)
    change = Hard(HardOptions(**options))
    change.prepare(Setting({"image": (1, 8, 8)}, 40, [*"abcde"]))
    return change


def network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 5))


class Trial:
    """A study of one batch with fixed chance."""

    rate, step, parameters, held_out = 0.1, 1, {}, dict

    def __init__(self, change, student=None, teacher=None, view=0):
        self.networks = {"student": student or network(1), "teacher": teacher or network(2)}
        self.plain = self.batch = pictures()
        self.change, self.view, self.noted, self.learned = change, view, {}, 0
        self.optimizer = change.own_optimizer()

    @property
    def draws(self):
        return Draws(0, self.view, self.plain["ids"])

    def student(self, batch, parameters=None):
        return {"logits": self.networks["student"](batch["image"])}

    def teacher(self, batch):
        return {"logits": self.networks["teacher"](batch["image"])}

    def learn(self, loss):
        self.learned += 1
        own = [*self.change.networks.parameters()]
        for parameter, slope in zip(own, torch.autograd.grad(loss, own), strict=True):
            parameter.grad = slope
        self.optimizer.step()

    def note(self, **numbers):
        self.noted |= numbers

    def answers(self, change):
        """Return what the loss is of: the teacher's and the student's answers to both."""
        image = self.plain["image"]
        changed = {"image": change.changed(image, self.draws)}
        asks = (self.teacher, self.student)
        return [ask(batch)["logits"] for ask in asks for batch in (self.plain, changed)]


def zeroed(change):
    for part in change.networks:
        nn.init.zeros_(part[-1].weight)
        nn.init.zeros_(part[-1].bias)
    return change


@pytest.mark.parametrize("kind", ["affine", "color"])
def test_numbers_of_zero_change_nothing_and_the_first_ones_little(kind):
    batch = pictures()
    draws = Draws(0, 0, batch["ids"])
    none = zeroed(made(changes=(kind,))).changed(batch["image"], draws)
    assert (none - batch["image"]).abs().max() < 1e-5
    first = made(changes=(kind,)).changed(batch["image"], draws)
    assert 1e-4 < (first - batch["image"]).abs().mean() < 0.3


def test_another_picture_has_less_than_half_and_little_at_first():
    change, batch = made(changes=("mix",)), pictures()
    first = change.changed(batch["image"], Draws(0, 0, batch["ids"]))
    assert 0 < (first - batch["image"]).abs().mean() < 0.1
    nn.init.constant_(change.networks[0][-1].bias, 50)
    halves = change.changed(batch["image"], Draws(0, 0, batch["ids"])) * 2 - batch["image"]
    assert all(any(torch.allclose(h, x, atol=1e-5) for x in batch["image"]) for h in halves)


@pytest.mark.parametrize("changes", [("affine",), ("color",), ("affine", "color")])
def test_a_batch_changes_as_its_pictures_do_one_by_one(changes):
    change, batch = made(changes=changes, share=1.0), pictures()
    whole = change(batch, Draws(3, 1, batch["ids"]))["image"]
    for one in (0, 5):
        alone = {name: column[one : one + 1] for name, column in batch.items()}
        assert_close(change(alone, Draws(3, 1, alone["ids"]))["image"][0], whole[one])


@pytest.mark.parametrize(("share", "changed"), [(0.0, 0), (0.5, 4), (0.6, 5), (1.0, 8)])
def test_an_exact_share_of_the_batch_is_changed(share, changed):
    batch = pictures() | {"labels": torch.arange(8)}
    found = made(share=share)(batch, Draws(3, 1, batch["ids"]))
    apart = (found["image"] != batch["image"]).flatten(1).any(1)
    assert apart.sum() == changed
    assert torch.equal(found["labels"], batch["labels"])


def test_the_loss_equals_the_sums_written_out():
    for mode in ("disagree", "consistency"):
        change = made(mode=mode, teacher_weight=0.7, student_weight=1.3, cap=0.4)
        answers = [torch.randn(4, 5, generator=torch.Generator().manual_seed(n)) for n in range(4)]
        chances = [[soft(row) for row in scores.tolist()] for scores in answers]
        total = 0.0
        for t, t_x, s, s_x in zip(*chances, strict=True):
            sought = divergence(t_x if mode == "disagree" else s, s_x)
            total += 0.7 * divergence(t, t_x) - 1.3 * min(sought, 0.4)
        assert_close(change.loss(*answers), torch.tensor(total / 4))


def soft(scores):
    return [exp(v) / sum(map(exp, scores)) for v in scores]


def divergence(of, to):
    return sum(p * (log(p) - log(q)) for p, q in zip(of, to, strict=True))


def test_a_step_of_the_changes_moves_nothing_else_and_leaves_no_gradient():
    change = made(low=0.01, high=0.02, changes=EVERY)
    trial = Trial(change)
    before = {who: copy.deepcopy(net.state_dict()) for who, net in trial.networks.items()}
    own = [parameter.clone() for parameter in change.parameters()]
    change.after_step(trial)
    assert trial.learned
    assert any(not torch.equal(a, b) for a, b in zip(own, change.parameters(), strict=True))
    for who, net in trial.networks.items():
        assert all(p.grad is None for p in net.parameters())
        assert all(torch.equal(v, before[who][n]) for n, v in net.state_dict().items())
    assert {*trial.noted} == {"agreement", "clean", "kept"}


def test_a_small_step_makes_student_and_teacher_differ_more():
    raised = 0
    for seed in range(20):
        change = made(seed, teacher_weight=0.0, cap=100.0)
        with torch.no_grad():  # not at no change: sampling has a kink there
            change.networks[0][-1].weight.mul_(5)
        trial = Trial(change)
        before = change.loss(*trial.answers(change))
        slopes = torch.autograd.grad(before, [*change.networks.parameters()])
        with torch.no_grad():
            torch._foreach_sub_([*change.networks.parameters()], slopes, alpha=1e-4)
        raised += bool(change.loss(*trial.answers(change)) < before)
    assert raised == 20


def test_of_a_student_that_is_its_teacher_only_the_teachers_answer_counts():
    change, same = made(), network(2)
    trial = Trial(change, same, same)
    both = torch.autograd.grad(change.loss(*trial.answers(change)), [*change.parameters()])
    alone = made(student_weight=0.0)
    only = torch.autograd.grad(alone.loss(*trial.answers(alone)), [*alone.parameters()])
    for first, second in zip(both, only, strict=True):
        assert_close(first, second, rtol=0, atol=1e-6)
    assert zeroed(change).loss(*trial.answers(change)).abs() < 1e-6


def test_without_a_weight_of_the_student_the_teachers_answer_is_kept_better():
    change = made(student_weight=0.0, low=0.0, high=0.01, learning_rate=0.02)
    with torch.no_grad():
        change.networks[0][-1].weight.mul_(10)
    trial = Trial(change)
    before = change.loss(*trial.answers(change))
    for _ in range(8):
        change.after_step(trial)
    assert change.loss(*trial.answers(change)) < 0.3 * before


def test_the_cap_bounds_the_loss():
    change = made(cap=0.5, student_weight=2.0)
    answers = [60 * torch.randn(4, 5) for _ in range(4)]
    answers[1] = answers[0]
    assert change.loss(*answers) == -1.0


def test_phases_take_turns_as_agreement_says():
    change, found = made(low=0.4, high=0.6), []
    for agreement in (0.9, 0.5, 0.4, 0.39, 0.5, 0.6, 0.61, 0.5, 0.1, 0.5):
        change.turn(agreement)
        found.append(bool(change.hardening))
    assert found == [True, True, True, False, False, False, True, True, False, False]


@pytest.mark.parametrize(("agreement", "steps"), [(1.0, 3), (0.0, 0)])
def test_it_makes_so_many_steps_at_most_and_none_where_it_is_not_its_turn(agreement, steps):
    change, same = made(most_steps=3), network(2)
    other = copy.deepcopy(same)
    with torch.no_grad():
        other[-1].weight.mul_(2 * agreement - 1)  # the same choices, or never
        other[-1].bias.mul_(2 * agreement - 1)
    trial = Trial(change, other, same)
    change.after_step(trial)
    assert trial.learned == steps
    assert trial.noted["agreement"] == trial.noted["clean"] == agreement


def test_low_must_be_below_high():
    with pytest.raises(ValidationError, match=r"low \(0.9\) must be below high \(0.85\)"):
        HardOptions(low=0.9)


def test_a_task_without_scores_of_classes_is_refused():
    task = UseTask.model_validate({"kind": "image_classification", "data": "digits"}).build()
    assert [*check(HardOptions(), task)] == []
    signature = task.signature()
    ports = tuple(replaced(port) for port in signature.outputs)
    task.signature = lambda: type(signature)(signature.inputs, ports)
    (problem,) = check(HardOptions(), task)
    assert "hard compares answers of classes" in problem.message


def replaced(port):
    return type(port)("embedding", port.dtype, port.shape)


def test_a_student_trained_with_it_repeats_to_the_bit_and_meets_changed_pictures(tmp_path):
    task = UseTask.model_validate(
        {"kind": "image_classification", "data": "digits", "train_examples": 128}
    ).build()

    def trained(name):
        torch.manual_seed(0)
        nets = [nn.Sequential(nn.Flatten(), nn.Linear(64, 10)) for _ in range(2)]
        teacher = Online(nets[1], task.signature(), (), task, torch.device("cpu"))
        augment = UseAugment.model_validate({"kind": "hard", "changes": EVERY})
        lesson = Lesson(
            ExampleRun(tmp_path / name, task), nets[0], {"teacher": teacher},
            Terms([UseObjective.model_validate("kd")]),
            Train(epochs=2, batch_size=32, augment=(augment,)), Views(0),
        )  # fmt: skip
        return train(lesson).history, nets[0][1].weight

    (history, weight), (again, other) = trained("one"), trained("two")
    assert torch.equal(weight, other)
    assert history == again
    assert {*history["epochs"][0]["terms"]} == {"kd", "hard.agreement", "hard.clean", "hard.kept"}
