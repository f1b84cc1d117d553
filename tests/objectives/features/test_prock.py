"""Prototypes: how they are found, what is told by them, and a student of other classes."""

from functools import cache
from itertools import pairwise
from math import exp, log

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.testing import assert_close

from edgekd.core.errors import StageError
from edgekd.core.protocols.training import Setting
from edgekd.core.refs import UseObjective, UseTask
from edgekd.objectives.features.prock import ProCK, PrototypeGuidance, drawn, k_means, moved
from edgekd.testing.runs import ExampleRun
from edgekd.train.lesson import Lesson
from edgekd.train.loop import train
from edgekd.train.optim import Train
from edgekd.train.teaching import Online
from edgekd.train.terms import Terms
from edgekd.train.views import Views

OWN, WANTED = (3, 4, 4), (5, 2, 2)


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def made(own=OWN, wanted=WANTED, feature=None, **options):
    torch.manual_seed(0)
    term = PrototypeGuidance(ProCK(**{"prototypes": 6} | options))
    term.prepare(Setting({"student_feature": own, "teacher_feature": wanted}, 40, ()))
    feature = random(40, *wanted) * 2 + 3 if feature is None else feature
    term.fit({"teacher_feature": part} for part in feature.split(16))
    return term


@cache
def usual():
    return made()


def signals(seed=1):
    student = random(4, *OWN, seed=seed).requires_grad_()
    return {"student_feature": student, "teacher_feature": random(4, *WANTED, seed=seed + 1) + 3}


def soft(values):
    total = sum(map(exp, values))
    return [exp(value) / total for value in values]


def test_it_equals_the_sums_written_out():
    term, found = made(hint=0.5), signals()
    means = F.avg_pool2d(found["student_feature"], 2)
    weight, bias = (p.flatten(1).tolist() if p.ndim > 1 else p.tolist()
                    for p in term.query.parameters())  # fmt: skip
    places, middle = term.prototypes.tolist(), term.middle.tolist()
    slow = []
    for own, told in zip(means.flatten(2).tolist(), found["teacher_feature"].flatten(2).tolist(),
                         strict=True):  # fmt: skip
        loss = 0.0
        for place in range(4):
            f, z = [row[place] for row in own], [row[place] for row in told]
            u = [sum(w * x for w, x in zip(row, f, strict=True)) + b
                 for row, b in zip(weight, bias, strict=True)]  # fmt: skip
            z = [a - m for a, m in zip(z, middle, strict=True)]
            shares = []
            for token in (z, u):
                far = [sum((a - p) ** 2 for a, p in zip(token, at, strict=True)) for at in places]
                shares.append(soft([-square / float(term.spread) for square in far]))
            loss += sum(t * log(t / s) for t, s in zip(*shares, strict=True)) / 4
            loss += 0.5 * sum((a - b) ** 2 for a, b in zip(u, z, strict=True)) / 20
        slow.append(loss)
    assert_close(term(**found), torch.tensor(slow), rtol=1e-4, atol=1e-5)


def test_shares_add_up_to_one_and_the_same_tokens_have_no_loss():
    term, found = made(wanted=WANTED, own=WANTED, hint=1.0), signals()
    assert_close(term.assignment(random(7, 5)).exp().sum(-1), torch.ones(7))
    teacher = found["teacher_feature"]
    assert (term(student_feature=random(4, *WANTED), teacher_feature=teacher) > 0).all()
    nn.init.dirac_(term.query.weight)
    term.query.bias.data.copy_(-term.middle)
    assert_close(term(student_feature=teacher, teacher_feature=teacher), torch.zeros(4),
                 rtol=0, atol=1e-5)  # fmt: skip


def test_prototypes_move_to_the_means_of_their_tokens_and_the_error_falls():
    tokens = random(60, 2).double()
    prototypes, errors = tokens[:5], []
    for _ in range(8):
        distance, nearest = torch.cdist(tokens, prototypes).square().min(1)
        errors.append(distance.mean())
        prototypes = moved(tokens, nearest, distance, 5)
        for number in range(5):
            assert_close(prototypes[number], tokens[nearest == number].mean(0))
    assert all(after <= before for before, after in pairwise(errors))
    found, error = k_means(tokens, 5)
    assert error <= errors[-1]
    assert_close(error, torch.cdist(tokens, found).square().min(1).values.mean())


def test_a_prototype_without_tokens_goes_to_the_farthest_one():
    tokens = torch.tensor([[0.0], [1.0], [9.0]])
    nearest, distance = torch.tensor([0, 0, 0]), torch.tensor([0.0, 1.0, 81.0])
    assert moved(tokens, nearest, distance, 2).flatten().tolist() == pytest.approx([10 / 3, 9])


def test_drawn_tokens_are_different_ones_whatever_their_order():
    tokens = random(50, 3).repeat(2, 1)
    some = drawn(tokens, 20)
    assert len(drawn(tokens, 90)) == 50
    assert len(some.unique(dim=0)) == 20
    first = drawn(tokens[::3], 20)
    again = drawn(torch.cat([first, tokens[1::3], tokens[2::3]]).flip(0), 20)
    assert torch.equal(again, some)


def test_a_common_turn_and_shift_changes_no_share():
    tokens = random(40, 5)
    found, error = k_means(tokens.double(), 6)
    turn = torch.linalg.qr(random(5, 5, seed=3).double())[0]
    turned, same = k_means(tokens.double() @ turn, 6)
    assert_close(turned, found @ turn)
    assert_close(same, error)
    term, shifted = made(), made(feature=random(40, *WANTED) * 2 + 103)
    token = random(8, 5, seed=4) + 3
    shifted.prototypes, shifted.spread = term.prototypes, term.spread
    assert_close(shifted.middle, term.middle + 100, rtol=0, atol=1e-3)
    assert_close(shifted.assignment(token + 100 - shifted.middle),
                 term.assignment(token - term.middle), rtol=1e-3, atol=1e-3)  # fmt: skip


def test_prototypes_in_another_order_give_the_same_loss():
    term, found = made(), signals()
    before, shares = term(**found), term.assignment(random(3, 5))
    order = torch.randperm(6)
    term.prototypes = term.prototypes[order]
    assert_close(term(**found), before)
    assert_close(term.assignment(random(3, 5)), shares[:, order])


def test_where_tokens_lie_at_their_prototypes_each_share_is_whole():
    term, tokens = made(), random(30, 5)
    term.spread.fill_(1e-4)
    shares = term.assignment(tokens).exp()
    nearest = torch.cdist(tokens, term.prototypes).argmin(1)
    assert_close(shares, F.one_hot(nearest, 6).float(), rtol=0, atol=1e-3)


def test_student_and_map_learn_and_nothing_of_the_teacher():
    found = signals()
    found["teacher_feature"].requires_grad_()
    usual()(**found).sum().backward()
    slopes = [found["student_feature"].grad, *(p.grad for p in usual().parameters())]
    assert len(slopes) == 3
    assert all(slope.isfinite().all() and slope.any() for slope in slopes)
    assert not any(buffer.requires_grad for buffer in usual().buffers())


@pytest.mark.parametrize(("own", "wanted"), [((6, 3), (6, 5)), ((3,), (5,)), ((3, 2, 2), WANTED)])
def test_of_tokens_vectors_and_maps_half_precision_is_finite(own, wanted):
    term = made(own, wanted)
    student, teacher = (random(4, *shape).bfloat16() for shape in (own, wanted))
    losses = term(student_feature=student, teacher_feature=teacher)
    assert losses.shape == (4,)
    assert losses.isfinite().all()


def test_too_few_tokens_and_no_places_in_common_are_refused():
    few = r"6 different tokens are too few for 6 prototypes(?s:.*)Give prock fewer prototypes"
    with pytest.raises(StageError, match=few):
        made((3,), (5,), random(6, 5).repeat(9, 1))
    with pytest.raises(StageError, match="no places in common"):
        made((6, 3), (5,))


def cnn(first, last):
    return nn.Sequential(nn.Conv2d(1, first, 3, 2, 1), nn.ReLU(), nn.Conv2d(first, last, 3, 2, 1))


def descend(loss, *modules):
    optimizer = torch.optim.Adam([p for m in modules for p in m.parameters()], 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()


def test_a_student_of_other_classes_names_the_teachers_prototypes():
    """A teacher of the digits 0 to 4, a student that sees 5 to 9 without a label."""
    task = UseTask.model_validate({"kind": "image_classification", "data": "digits"}).build()
    batch = next(task.batches("train", 800, device=torch.device("cpu")))
    low = batch["labels"] < 5
    theirs, labels = batch["image"][low][:200], batch["labels"][low][:200]
    seen, unseen = batch["image"][~low].split(200)[:2]
    torch.manual_seed(0)
    teacher, head = cnn(16, 32), nn.Linear(32, 5)
    descend(lambda: F.cross_entropy(head(teacher(theirs).relu().mean((2, 3))), labels),
            teacher, head)  # fmt: skip
    teacher.requires_grad_(False)
    agreements = []
    for targets in (teacher(seen), teacher(seen).roll(1, 0)):
        term = made((12, 2, 2), (32, 2, 2), teacher(theirs), prototypes=32)
        student = cnn(8, 12)
        descend(lambda: term(student_feature=student(seen), teacher_feature=targets).mean(),  # noqa: B023
                student, term)  # fmt: skip
        told = term.query(student(unseen)).flatten(2).transpose(1, 2)
        wanted = teacher(unseen).flatten(2).transpose(1, 2) - term.middle
        named = [term.assignment(tokens).argmax(-1) for tokens in (told, wanted)]
        agreements.append((named[0] == named[1]).float().mean().item())
    assert agreements[0] > 0.5
    assert agreements[0] > 1.5 * agreements[1]


def task_of(digits):
    data = {"kind": "digits", "classes": (*digits,)}
    given = {"kind": "image_classification", "data": data, "mean": (0.3,), "std": (0.37,)}
    return UseTask.model_validate(given).build()


def test_a_teacher_of_three_classes_guides_a_training_of_five_others_with_few_labels(tmp_path):
    low, high = task_of(("01", "23", "4")), task_of("56789")
    torch.manual_seed(0)
    network = nn.Sequential(cnn(16, 32), nn.Flatten(), nn.Linear(128, 3))
    teacher = Online(network, low.signature(), ("0",), high, torch.device("cpu"))
    terms = Terms([
        UseObjective.model_validate("cross_entropy"),
        UseObjective.model_validate({"kind": "prock", "tap": {"student": "0", "teacher": "0"}}),
    ])  # fmt: skip
    student = nn.Sequential(cnn(8, 12), nn.Flatten(), nn.Linear(48, 5))
    options = Train(epochs=3, batch_size=50, learning_rate=0.01, labelled=15)
    run = ExampleRun(tmp_path, high)
    epochs = train(Lesson(run, student, {"teacher": teacher}, terms, options, Views(0))).history
    told = [epoch["terms"]["prock"] for epoch in epochs["epochs"]]
    assert told[-1] < 0.9 * told[0]
    assert terms.built["prock"].prototypes.any()
