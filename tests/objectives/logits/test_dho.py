"""Two heads: the sums written out, who learns what, and examples without a label."""

from math import exp, log

import pytest
import torch
from torch.nn import functional as F  # noqa: N812
from torch.testing import assert_close

from edgekd.core.errors import StageError
from edgekd.objectives.logits.dho import DHO, dho
from edgekd.testing.signals import example_signals

NEEDS = ("student_feature", "teacher_logits", "labels")


def signals(labelled=4, seed=0, dtype=torch.float32):
    found = example_signals(NEEDS, seed=seed, dtype=dtype, shapes={"student_feature": (2, 7)})
    found["labels"][labelled:] = -1
    return found


def chances(scores):
    return [exp(v) / sum(map(exp, scores)) for v in scores]


def written_out(heads, teacher, labels, options):
    """Return the loss by loops over examples and classes."""
    hard, known, others = [], [], []
    for (first, second), scores, label in zip(heads, teacher, labels, strict=True):
        p, q = (chances([v / options.temperature for v in row]) for row in (second, scores))
        divergence = sum(b * log(b / a) for a, b in zip(p, q, strict=True))
        (known if label >= 0 else others).append(options.temperature**2 * divergence)
        if label >= 0:
            hard.append(-log(chances(first)[label]))
    hard, known, others = (sum(v) / len(v) if v else 0.0 for v in (hard, known, others))
    return options.label_weight * hard + options.teacher_weight * (known + others)


@pytest.mark.parametrize("labelled", [0, 4, 6])
@pytest.mark.parametrize(
    "options", [DHO(), DHO(label_weight=1.0, teacher_weight=2.0, temperature=1.0)]
)
def test_it_equals_the_sums_written_out(options, labelled):
    found = signals(labelled)
    slow = written_out(*(found[name].tolist() for name in NEEDS), options)
    assert_close(dho(options, **found), torch.tensor(slow), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("weights", "taught"), [((1.0, 0.0), 0), ((0.0, 1.0), 1)])
def test_each_head_learns_its_own_part_alone(weights, taught):
    found = signals()
    dho(DHO(label_weight=weights[0], teacher_weight=weights[1]), **found).backward()
    reached = found["student_feature"].grad.abs().sum((0, 2))
    assert reached[taught] > 0
    assert reached[1 - taught] == 0


def test_an_example_without_a_label_teaches_the_second_head_alone_and_no_teacher():
    found = signals()
    teacher = found["teacher_logits"].requires_grad_()
    dho(DHO(), **found).backward()
    grad = found["student_feature"].grad
    assert not grad[4:, 0].any()
    assert grad[4:, 1].any(1).all()
    assert teacher.grad is None


def test_both_heads_can_fit_what_one_alone_cannot():
    label, teacher = F.one_hot(torch.tensor(0), 3).float(), torch.tensor([0.2, 0.7, 0.1])
    share = 0.3  # of the labels: the minimiser of the single head's sum is the blend of both
    single = (share * label + (1 - share) * teacher).log()
    pull = share * (single.softmax(-1) - label) + (1 - share) * (single.softmax(-1) - teacher)
    assert_close(pull, torch.zeros(3), atol=1e-6, rtol=0)
    assert not torch.allclose(single.softmax(-1), teacher, atol=0.05)
    certain = torch.tensor([40.0, 0, 0])
    heads = torch.stack((certain, teacher.log()))[None]
    given = {"teacher_logits": teacher.log()[None], "labels": torch.tensor([0])}
    loss = dho(DHO(temperature=1.0), student_feature=heads, **given)
    assert_close(loss, torch.tensor(0.0), atol=1e-6, rtol=0)


def test_it_stays_finite_in_bfloat16():
    found = signals(dtype=torch.bfloat16)
    loss = dho(DHO(), **found)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert found["student_feature"].grad.isfinite().all()


def test_another_number_of_heads_is_refused():
    found = signals()
    with pytest.raises(StageError, match=r"teaches two heads; the tapped module gives \[3, 7\]"):
        dho(DHO(), **found | {"student_feature": torch.zeros(6, 3, 7)})
