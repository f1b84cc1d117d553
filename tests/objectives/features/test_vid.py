"""Variational information: the likelihood written out, and what the variances learn."""

from math import exp, log, pi, sqrt

import pytest
import torch
from torch.testing import assert_close

from edgekd.core.errors import StageError
from edgekd.core.protocols.training import Setting
from edgekd.objectives.features.vid import VID, VariationalInformation

SHAPES = [((3, 8, 8), (5, 4, 4)), ((6, 3), (6, 5)), ((3,), (5,))]


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def made(own=(3,), wanted=(5,), **options):
    torch.manual_seed(0)
    term = VariationalInformation(VID(**options))
    term.prepare(Setting({"student_feature": own, "teacher_feature": wanted}, 10, ()))
    return term


def test_it_is_the_likelihood_of_a_normal_distribution_but_for_its_constant():
    term, student, teacher = made(variance=2.0), drawn(4, 3), drawn(4, 5, seed=1)
    slow = []
    for told, wanted in zip(term.mean(student).tolist(), teacher.tolist(), strict=True):
        likely = [exp(-((w - t) ** 2) / 4) / sqrt(2 * pi * 2)
                  for t, w in zip(told, wanted, strict=True)]  # fmt: skip
        slow.append(-sum(map(log, likely)) / 5 - log(2 * pi) / 2)
    losses = term(student_feature=student, teacher_feature=teacher)
    assert_close(losses, torch.tensor(slow), rtol=1e-4, atol=1e-5)


def descend(parameters, rate):
    with torch.no_grad():
        for parameter in parameters:
            parameter.sub_(rate * parameter.grad)
            parameter.grad = None


@pytest.mark.parametrize(("own", "wanted"), SHAPES)
def test_student_regression_and_variances_learn(own, wanted):
    term, student = made(own, wanted), drawn(6, *own).requires_grad_()
    losses = term(student_feature=student, teacher_feature=drawn(6, *wanted, seed=1))
    assert losses.shape == (6,)
    losses.sum().backward()
    slopes = [student.grad, *(p.grad for p in term.parameters())]
    assert len(slopes) == 5
    assert all(slope.isfinite().all() and slope.any() for slope in slopes)


def test_a_channel_that_cannot_be_told_is_given_a_larger_variance():
    term, student = made(wanted=(2,), variance=1.0), drawn(64, 3)
    noise = 3 * drawn(64, 1, seed=2)
    teacher = torch.cat([student[:, :1], noise], 1)
    for _ in range(100):
        term(student_feature=student, teacher_feature=teacher).mean().backward()
        descend(term.parameters(), 0.5)
    told, untold = term._variance(2).tolist()
    assert told < 1 < untold


def test_the_least_loss_of_one_variance_is_where_it_is_the_mean_square():
    losses = [made(variance=v) for v in (1.0, 2.0, 4.0)]
    found = []
    for term in losses:
        torch.nn.init.zeros_(term.mean[-1].weight)
        found.append(term(student_feature=drawn(4, 3), teacher_feature=torch.full((4, 5), 2**0.5)))
    assert (found[1] < found[0]).all()
    assert (found[1] < found[2]).all()


def test_features_without_places_in_common_are_refused():
    with pytest.raises(StageError, match="no places in common"):
        made((6, 3), (5,))(student_feature=drawn(4, 6, 3), teacher_feature=drawn(4, 5))
