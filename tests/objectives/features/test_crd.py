"""Contrast: its sums written out, its memory, and what it tells apart."""

from math import exp, log

import pytest
import torch
from torch.nn import functional as F  # noqa: N812
from torch.testing import assert_close

from edgekd.core.errors import StageError
from edgekd.core.protocols.training import Setting
from edgekd.objectives.features.crd import CRD, Contrast

EXAMPLES, CLASSES = 12, 3
LABELS = torch.arange(EXAMPLES) % CLASSES


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def made(labels=LABELS, seed=0, **options):
    torch.manual_seed(seed)
    term = Contrast(CRD.model_validate({"width": 8, "negatives": 5} | options))
    shapes = {"student_feature": (4,), "teacher_feature": (6, 2, 2), "labels": (), "ids": ()}
    term.prepare(Setting(shapes, EXAMPLES, [*"abc"]))
    term.fit([{"ids": torch.arange(EXAMPLES), "labels": labels}])
    return term


def signals(ids, seed=0):
    ids = torch.tensor(ids)
    return {
        "student_feature": drawn(len(ids), 4, seed=seed).requires_grad_(),
        "teacher_feature": drawn(len(ids), 6, 2, 2, seed=seed + 1),
        "labels": LABELS[ids],
        "ids": ids,
    }


def test_it_equals_the_sums_written_out():
    term, found = made(), signals([3, 7, 0])
    chosen = term._chosen(found["labels"], found["ids"])
    features = found["student_feature"], found["teacher_feature"].mean((2, 3))
    slow = [0.0] * 3
    for layer, feature, bank in zip(
        (term.of_student, term.of_teacher), features,
        (term.seen_by_teacher.clone(), term.seen_by_student.clone()), strict=True,
    ):  # fmt: skip
        vectors = F.normalize(layer(feature), dim=1).detach()
        scores = [[exp(float(v @ bank[i]) / 0.07) for i in row]
                  for v, row in zip(vectors, chosen.tolist(), strict=True)]  # fmt: skip
        total = sum(map(sum, scores)) / 18 * EXAMPLES
        for n, row in enumerate(scores):
            positive, *negatives = (score / total for score in row)
            noise = 5 / EXAMPLES
            slow[n] -= log(positive / (positive + noise))
            slow[n] -= sum(log(noise / (p + noise)) for p in negatives)
    assert_close(term(**found), torch.tensor(slow), rtol=1e-3, atol=1e-4)


def test_negatives_are_of_other_classes_and_others_in_each_step():
    term, found = made(), signals([3, 7, 0])
    first = term._chosen(found["labels"], found["ids"])
    assert torch.equal(first[:, 0], found["ids"])
    assert not (LABELS[first[:, 1:]] == found["labels"][:, None]).any()
    term(**found)
    assert not torch.equal(term._chosen(found["labels"], found["ids"]), first)


def test_what_both_sides_gave_is_remembered_and_nothing_else_is():
    term, found = made(keep=0.25), signals([3, 7, 0])
    before = term.seen_by_student.clone()
    vectors = F.normalize(term.of_student(found["student_feature"]), dim=1).detach()
    term(**found)
    wanted = F.normalize(0.25 * before[found["ids"]] + 0.75 * vectors, dim=1)
    assert_close(term.seen_by_student[found["ids"]], wanted)
    rest = [i for i in range(EXAMPLES) if i not in (3, 7, 0)]
    assert torch.equal(term.seen_by_student[rest], before[rest])


def test_the_student_and_both_layers_learn():
    term, found = made(), signals([3, 7, 0])
    term(**found).sum().backward()
    slopes = [found["student_feature"].grad, *(p.grad for p in term.parameters())]
    assert len(slopes) == 5
    assert all(slope.isfinite().all() and slope.any() for slope in slopes)


def test_its_memory_is_in_its_state_and_goes_on_from_there():
    term = made()
    for step in range(3):
        term(**signals([step, 5, 9], seed=step))
    again = made(seed=1)
    again.load_state_dict(term.state_dict())
    found = signals([4, 5, 6], seed=9)
    assert torch.equal(again(**found), term(**found))
    assert torch.equal(again.seen_by_teacher, term.seen_by_teacher)


def test_views_of_one_example_come_together():
    term = made()
    student = drawn(EXAMPLES, 4).requires_grad_()
    found = signals([*range(EXAMPLES)]) | {"student_feature": student}
    losses = []
    for _ in range(60):
        loss = term(**found).mean()
        loss.backward()
        with torch.no_grad():
            for parameter in (student, *term.parameters()):
                parameter.sub_(0.1 * parameter.grad)
                parameter.grad = None
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_a_single_class_is_refused():
    with pytest.raises(StageError, match="all training examples are of one class"):
        made(labels=torch.zeros(EXAMPLES, dtype=torch.int64))
