"""The one place where terms are weighted and averaged."""

import torch
from torch.testing import assert_close

from edgekd.core.refs import UseObjective
from edgekd.objectives.logits.cross_entropy import CrossEntropy, cross_entropy
from edgekd.objectives.logits.kd import KD, kd
from edgekd.testing.signals import example_signals
from edgekd.train.terms import Terms

NEEDS = ("student_logits", "teacher_logits", "labels")


def uses(*written):
    return [UseObjective.model_validate(value) for value in written]


def test_the_loss_is_the_weighted_sum_of_means():
    signals = example_signals(NEEDS)
    terms = Terms(uses({"kind": "kd", "weight": 0.7, "temperature": 2.0}, "cross_entropy"))
    loss, parts = terms(signals, {})
    soft = kd(KD(temperature=2.0), student_logits=signals["student_logits"],
              teacher_logits=signals["teacher_logits"]).mean()  # fmt: skip
    hard = cross_entropy(CrossEntropy(), student_logits=signals["student_logits"],
                         labels=signals["labels"]).mean()  # fmt: skip
    assert_close(parts, {"kd": soft, "cross_entropy": hard})
    assert_close(loss, 0.7 * soft + hard)


def test_a_term_of_weight_nothing_changes_no_gradient():
    alone, beside = example_signals(NEEDS), example_signals(NEEDS)
    Terms(uses("cross_entropy"))(alone, {})[0].backward()
    Terms(uses("cross_entropy", {"kind": "kd", "weight": 0.0}))(beside, {})[0].backward()
    assert torch.equal(alone["student_logits"].grad, beside["student_logits"].grad)


def test_a_term_may_occur_twice():
    terms = Terms(uses({"kind": "kd", "temperature": 1.0}, {"kind": "kd", "temperature": 8.0}))
    assert set(terms(example_signals(NEEDS), {})[1]) == {"kd", "kd_2"}
