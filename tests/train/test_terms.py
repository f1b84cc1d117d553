"""The one place where terms are weighted and averaged."""

import pytest
import torch
from torch.testing import assert_close

from edgekd.core.kinds import objective
from edgekd.core.refs import UseObjective
from edgekd.core.registry import Plugin
from edgekd.objectives.logits.cross_entropy import CrossEntropy, cross_entropy
from edgekd.objectives.logits.kd import KD, kd
from edgekd.testing.signals import example_signals
from edgekd.train.labelled import LABELLED
from edgekd.train.teaching import Said
from edgekd.train.terms import Terms, student_taps, teacher_taps

NEEDS = ("student_logits", "teacher_logits", "labels")


def uses(*written):
    return [UseObjective.model_validate(value) for value in written]


def said(signals):
    return {"teacher": Said({"logits": signals["teacher_logits"]}, {})}


def test_the_loss_is_the_weighted_sum_of_means():
    signals = example_signals(NEEDS)
    terms = Terms(uses({"kind": "kd", "weight": 0.7, "temperature": 2.0}, "cross_entropy"))
    loss, parts = terms(signals, {}, said(signals))
    soft = kd(KD(temperature=2.0), student_logits=signals["student_logits"],
              teacher_logits=signals["teacher_logits"]).mean()  # fmt: skip
    hard = cross_entropy(CrossEntropy(), student_logits=signals["student_logits"],
                         labels=signals["labels"]).mean()  # fmt: skip
    assert_close(parts, {"kd": soft, "cross_entropy": hard})
    assert_close(loss, 0.7 * soft + hard)


def test_a_term_of_weight_nothing_changes_no_gradient():
    alone, beside = example_signals(NEEDS), example_signals(NEEDS)
    Terms(uses("cross_entropy"))(alone, {}, {})[0].backward()
    Terms(uses("cross_entropy", {"kind": "kd", "weight": 0.0}))(beside, {}, said(beside))[
        0
    ].backward()
    assert torch.equal(alone["student_logits"].grad, beside["student_logits"].grad)


@pytest.mark.parametrize("known", [[True] * 6, [True, False] * 3, [False] * 6])
def test_what_a_term_tells_stands_beside_its_mean_and_not_in_the_loss(known, monkeypatch):
    def largest(config, *, labels, student_logits):
        return student_logits.sum(-1) * 0 + labels

    def first(options, *, labels, **_):
        return labels * options.temperature

    plugin = Plugin("objective", "largest", largest, KD, traits={"tells": {"first": first}})
    monkeypatch.setitem(objective._loaded, "largest", plugin)
    signals = example_signals(NEEDS) | {LABELLED: torch.tensor(known)}
    loss, parts = Terms(uses("kd", "largest"))(signals, {}, said(signals))
    assert_close(loss, parts["kd"] + parts["largest"])
    assert_close(parts["largest.first"], 4.0 * parts["largest"])
    assert not parts["largest.first"].requires_grad


@pytest.mark.parametrize(("done", "share"), [(0.0, 0.0), (0.05, 0.25), (0.2, 1.0), (0.9, 1.0)])
def test_a_weight_rises_evenly_from_nothing_over_its_share_of_the_training(done, share):
    signals = example_signals((*NEEDS, "progress")) | {"progress": torch.tensor(done)}
    rising = {"kind": "kd", "weight": 3.0, "warmup": 0.2}
    loss, parts = Terms(uses("cross_entropy", rising))(signals, {}, said(signals))
    assert_close(loss, parts["cross_entropy"] + 3 * share * parts["kd"])


def test_a_term_may_occur_twice():
    terms = Terms(uses({"kind": "kd", "temperature": 1.0}, {"kind": "kd", "temperature": 8.0}))
    signals = example_signals(NEEDS)
    assert set(terms(signals, {}, said(signals))[1]) == {"kd", "kd_2"}


def test_each_term_listens_to_the_teacher_that_it_names_and_else_to_the_first():
    signals, other = example_signals(NEEDS), torch.zeros(6, 7)
    two = {
        "wide": Said({"logits": signals["teacher_logits"]}, {}),
        "dull": Said({"logits": other}, {}),
    }
    named = Terms(uses("kd", {"kind": "kd", "teacher": "dull"}))(signals, {}, two)[1]
    student = signals["student_logits"]
    assert_close(
        named["kd"],
        kd(KD(), student_logits=student, teacher_logits=signals["teacher_logits"]).mean(),
    )
    assert_close(named["kd_2"], kd(KD(), student_logits=student, teacher_logits=other).mean())


def test_taps_are_gathered_by_the_teacher_that_is_asked():
    tap = {"student": "s", "teacher": "t"}
    terms = uses(
        "kd",
        {"kind": "kd", "tap": tap},
        {"kind": "kd", "teacher": "b", "tap": tap | {"teacher": "u"}},
    )
    assert student_taps(terms) == ["s"]
    assert teacher_taps(terms, "a", "a") == ["t"]
    assert teacher_taps(terms, "b", "a") == ["u"]
