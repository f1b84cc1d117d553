"""Norm and direction: both regimes, the means, and what it does to a student."""

import copy
from functools import cache
from math import hypot

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.testing import assert_close

from edgekd.core.errors import StageError
from edgekd.core.kinds import objective
from edgekd.core.protocols.training import Setting
from edgekd.core.refs import UseAugment, UseObjective, UseTask
from edgekd.objectives.features.nd import ND, NormAndDirection, length
from edgekd.ops.mixing import class_shares
from edgekd.testing.runs import ExampleRun
from edgekd.testing.signals import example_signals, fitting_signals, ready
from edgekd.train.lesson import Lesson
from edgekd.train.loop import train
from edgekd.train.optim import Train
from edgekd.train.teaching import Online
from edgekd.train.terms import Terms
from edgekd.train.views import Views

NEEDS = ("student_feature", "teacher_feature", "labels")
TASK = UseTask.model_validate(
    {"kind": "image_classification", "data": "digits", "train_examples": 300}
).build()
PLUGIN = objective.get("nd")


@cache
def fitted():
    return ready(PLUGIN)


def made(own=(4,), wanted=(4,), classes="abc", **options):
    torch.manual_seed(0)
    shapes = {"student_feature": own, "teacher_feature": wanted, "labels": ()}
    term = NormAndDirection(ND(**options))
    term.prepare(Setting(shapes, 10, [*classes]))
    return term


def test_it_equals_the_fraction_written_out():
    term, found = fitted(), example_signals(NEEDS)
    slow = []
    for s, t, label in zip(*(found[name].tolist() for name in NEEDS), strict=True):
        mean = term.means[label].tolist()
        along = sum(a * b for a, b in zip(s, mean, strict=True)) / hypot(*mean)
        slow.append(1 - along / max(hypot(*s), hypot(*t)))
    assert_close(term(**found), torch.tensor(slow), rtol=1e-4, atol=1e-5)


@given(seed=st.integers(0, 2**16), longer=st.floats(1.01, 50))
def test_of_a_long_feature_only_the_direction_counts(seed, longer):
    term, found = fitted(), example_signals(NEEDS, seed=seed)
    long = 100 * found["student_feature"].detach().requires_grad_()
    long.retain_grad()
    losses = term(**found | {"student_feature": long})
    cosines = F.cosine_similarity(long, term.means[found["labels"]])
    assert_close(losses, 1 - cosines, rtol=1e-4, atol=1e-5)
    assert_close(term(**found | {"student_feature": longer * long}), losses, rtol=1e-4, atol=1e-5)
    losses.sum().backward()
    turned = (long.grad * long).sum(-1) / (long.grad.norm(dim=-1) * long.norm(dim=-1))
    assert_close(turned, torch.zeros(6), rtol=0, atol=1e-3)


def test_of_a_short_feature_every_step_along_the_mean_counts_the_same():
    term, found = fitted(), example_signals(NEEDS)
    short = (0.01 * found["student_feature"].detach()).requires_grad_()
    term(**found | {"student_feature": short}).sum().backward()
    towards = F.normalize(term.means[found["labels"]], dim=-1)
    assert_close(short.grad, -towards / found["teacher_feature"].norm(dim=-1, keepdim=True))


@given(seed=st.integers(0, 2**16))
def test_it_is_from_0_to_2_and_turns_with_all_three(seed):
    term, found = fitted(), example_signals(NEEDS, seed=seed)
    losses = term(**found)
    assert ((losses >= -1e-6) & (losses <= 2 + 1e-6)).all()
    turn = torch.linalg.qr(torch.randn(12, 12, generator=torch.Generator().manual_seed(seed)))[0]
    term = copy.deepcopy(term)
    term.means.copy_(3 * term.means @ turn)
    moved = {name: found[name] @ turn for name in NEEDS[:2]}
    assert_close(term(**found | moved), losses, rtol=1e-4, atol=1e-4)


def test_nothing_is_left_along_the_mean_and_one_for_a_feature_of_zeros():
    term, found = fitted(), example_signals(NEEDS)
    along = 1000 * term.means[found["labels"]]
    assert_close(term(**found | {"student_feature": along}), torch.zeros(6), rtol=0, atol=1e-5)
    zero = torch.zeros(6, 12, requires_grad=True)
    losses = term(**found | {"student_feature": zero, "teacher_feature": torch.zeros(6, 12)})
    assert torch.equal(losses, torch.ones(6))
    losses.sum().backward()
    assert zero.grad.isfinite().all()


def test_of_mixed_examples_it_is_drawn_along_the_mean_of_both_classes():
    term, found = fitted(), example_signals(NEEDS)
    labels, share = found["labels"], torch.linspace(0, 1, 6)
    mixed = found | {"labels": class_shares(labels, labels.roll(1), share, 7)}
    slow = []
    for n, own in enumerate(found["student_feature"].tolist()):
        one, other = (term.means[of[n]].tolist() for of in (labels, labels.roll(1)))
        part = share[n].item()
        mean = [part * a + (1 - part) * b for a, b in zip(one, other, strict=True)]
        along = sum(a * b for a, b in zip(own, mean, strict=True)) / hypot(*mean)
        slow.append(1 - along / max(hypot(*own), hypot(*found["teacher_feature"][n].tolist())))
    assert_close(term(**mixed), torch.tensor(slow), rtol=1e-4, atol=1e-5)
    whole = found | {"labels": F.one_hot(labels, 7).float()}
    assert_close(term(**whole), term(**found))


def test_its_means_are_those_of_all_examples_of_a_class():
    term = fitted()
    batches = [*fitting_signals(PLUGIN)]
    feature = torch.cat([signals["teacher_feature"] for signals in batches])
    labels = torch.cat([signals["labels"] for signals in batches])
    for number, mean in enumerate(term.means):
        assert_close(mean, feature[labels == number].mean(0), rtol=1e-5, atol=1e-6)


def test_a_class_without_an_example_and_a_task_without_classes_are_refused():
    signals = {"teacher_feature": torch.ones(4, 4), "labels": torch.tensor([0, 0, 2, 0])}
    with pytest.raises(
        StageError, match="no training example is of class b: nothing can be learned"
    ):
        made().fit([signals])
    with pytest.raises(StageError, match="this task has none"):
        made(classes="")


def test_it_tells_how_long_what_the_head_reads_is_whatever_the_projector_gives():
    term, found = made((4,), (6,)), example_signals(NEEDS[:2])
    own, wanted = found["student_feature"][:, :4], found["teacher_feature"][:, :6]
    told = length(term, student_feature=own, teacher_feature=wanted, labels=torch.zeros(6))
    slow = [hypot(*s) / hypot(*t) for s, t in zip(own.tolist(), wanted.tolist(), strict=True)]
    assert_close(told, torch.tensor(slow))
    assert objective.get("nd").traits["tells"] == {"length": length}


def test_where_widths_differ_a_projector_learns_and_maps_are_averaged():
    term = made((3, 2, 2), (4, 4, 4), dropout=0.0)
    maps = {
        "student_feature": torch.randn(8, 3, 2, 2, requires_grad=True),
        "teacher_feature": torch.randn(8, 4, 4, 4),
        "labels": torch.arange(8) % 3,
    }
    term.fit([maps])
    term(**maps).sum().backward()
    slopes = [maps["student_feature"].grad, *(p.grad for p in term.parameters())]
    assert len(slopes) == 5
    assert all(slope.isfinite().all() and slope.any() for slope in slopes)
    assert not [*made((3, 2, 2), (3, 4, 4)).parameters()]


def mlp(hidden, width):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, width),
                         nn.ReLU(), nn.Linear(width, 10))  # fmt: skip


def trained(folder, student, objectives, teachers, weight=1.0, **options):
    tap = {"student": "4", "teacher": "4"}
    own = {"kind": "nd", "tap": tap, "weight": weight}
    uses = [own if kind == "nd" else {"kind": kind} for kind in objectives]
    train(
        Lesson(
            ExampleRun(folder, TASK),
            student,
            teachers,
            Terms([UseObjective.model_validate(use) for use in uses]),
            Train(**{"epochs": 25, "batch_size": 50, "learning_rate": 0.005} | options),
            Views(0),
        )
    )
    return student.eval()


def inside(model, split):
    batch = next(TASK.batches(split, 300, device=torch.device("cpu")))
    with torch.no_grad():
        return model[:5](batch["image"]), batch["labels"]


def test_with_no_weight_the_student_is_the_same_to_the_bit_and_mixed_examples_can_be_learned(
    tmp_path,
):
    told = Online(mlp(8, 12), TASK.signature(), ("4",), TASK, torch.device("cpu"))
    weights = {}
    for name, terms, weight, augment in (
        ("without", ("cross_entropy", "kd"), 0.0, ()),
        ("nothing", ("cross_entropy", "kd", "nd"), 0.0, ()),
        ("mixed", ("cross_entropy", "kd", "nd"), 1.0, (UseAugment.model_validate("mixup"),)),
    ):
        torch.manual_seed(1)
        student = trained(
            tmp_path / name, mlp(8, 6), terms, {"teacher": told}, weight, epochs=1, augment=augment
        )
        weights[name] = torch.cat([p.detach().flatten() for p in student.parameters()])
    assert torch.equal(weights["without"], weights["nothing"])
    assert weights["mixed"].isfinite().all()
    assert not torch.equal(weights["mixed"], weights["without"])


def test_unseen_features_lie_nearer_to_the_mean_of_their_class_and_are_longer(tmp_path):
    torch.manual_seed(0)
    teacher = trained(tmp_path / "teacher", mlp(128, 64), ["cross_entropy"], {})
    feature, labels = inside(teacher, "train")
    means = torch.stack([feature[labels == c].mean(0) for c in range(10)])
    told = Online(teacher, TASK.signature(), ("4",), TASK, torch.device("cpu"))
    found = {}
    for terms in (("cross_entropy", "kd"), ("cross_entropy", "kd", "nd")):
        torch.manual_seed(1)
        student = trained(tmp_path / terms[-1], mlp(16, 64), terms, {"teacher": told})
        own, labels = inside(student, "test")
        cosine = F.cosine_similarity(own, means[labels]).mean().item()
        longer = (own.norm(dim=1) / inside(teacher, "test")[0].norm(dim=1)).mean().item()
        found[terms[-1]] = cosine, longer
    assert found["nd"][0] > found["kd"][0] + 0.1
    assert found["nd"][1] > found["kd"][1]
