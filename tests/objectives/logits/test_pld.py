"""Plackett-Luce distillation: the sum written out, what the paper proves of it, its refusal."""

from math import exp, log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F  # noqa: N812
from torch.testing import assert_close

from edgekd.core.errors import StageError
from edgekd.core.refs import UseObjective
from edgekd.objectives.logits.pld import PLD, label_weight, pld
from edgekd.testing.signals import example_signals
from edgekd.train.teaching import Said
from edgekd.train.terms import Terms

NEEDS = ("student_logits", "teacher_logits", "labels")
MODES = ("teacher", "uniform", "ce", "fixed")


def signals(seed=0, batch=6):
    return example_signals(NEEDS, seed=seed, batch=batch)


def ranking(t, label):
    return [label, *sorted({*range(len(t))} - {label}, key=lambda c: -t[c])]


def weights(options, t, rank):
    """Return the weights of the choices in the order of the ranking."""
    classes = len(t)
    soft = [exp(v / options.temperature) for v in t]
    falling = [2 ** (classes - k) - 1 for k in range(1, classes + 1)]
    return {
        "teacher": [soft[c] / sum(soft) for c in rank],
        "uniform": [1 / classes] * classes,
        "ce": [1.0] + [0.0] * (classes - 1),
        "fixed": [v / sum(falling) for v in falling],
    }[options.weights]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("mode", MODES)
def test_it_equals_the_papers_sum_written_out(mode, temperature):
    options, found = PLD(weights=mode, temperature=temperature), signals()
    slow = []
    for s, t, label in zip(*(found[name].tolist() for name in NEEDS), strict=True):
        rank = ranking(t, label)
        left = [log(sum(exp(s[c]) for c in rank[k:])) for k in range(len(s))]
        choices = zip(weights(options, t, rank), left, rank, strict=True)
        slow.append(sum(weight * (rest - s[c]) for weight, rest, c in choices))
    assert_close(pld(options, **found), torch.tensor(slow), rtol=1e-5, atol=1e-5)


def test_the_first_choice_alone_is_cross_entropy():
    found = signals()
    labels = F.cross_entropy(found["student_logits"], found["labels"], reduction="none")
    assert_close(pld(PLD(weights="ce"), **found), labels)


def test_a_certain_teacher_that_is_right_makes_cross_entropy_and_one_that_is_wrong_drops_it():
    found = signals()
    labels = F.cross_entropy(found["student_logits"], found["labels"], reduction="none")
    right = F.one_hot(found["labels"], 7) * 200.0
    assert_close(pld(PLD(), **found | {"teacher_logits": right}), labels)
    wrong = found | {"teacher_logits": F.one_hot((found["labels"] + 1) % 7, 7) * 200.0}
    pld(PLD(), **wrong).sum().backward()
    rows = torch.arange(6), found["labels"]
    assert_close(found["student_logits"].grad[rows], torch.zeros(6))


@given(seed=st.integers(0, 2**16), shift=st.floats(-50, 50), mode=st.sampled_from(MODES))
def test_adding_a_constant_to_either_side_changes_nothing(seed, shift, mode):
    found, options = signals(seed), PLD(weights=mode)
    for name in NEEDS[:2]:
        moved = found | {name: found[name] + shift}
        assert_close(pld(options, **moved), pld(options, **found), rtol=1e-3, atol=1e-3)


@given(seed=st.integers(0, 2**16))
def test_its_gradient_is_that_of_the_closed_form(seed):
    found = signals(seed)
    pld(PLD(), **found).sum().backward()
    s, t = (found[name].detach() for name in NEEDS[:2])
    for row, label in enumerate(found["labels"].tolist()):
        wanted = torch.zeros(7)
        rank = ranking(t[row].tolist(), label)
        for k, c in enumerate(rank):
            among = torch.zeros(7).index_put((torch.tensor(rank[k:]),), s[row, rank[k:]].softmax(0))
            wanted += t[row].softmax(0)[c] * (among - F.one_hot(torch.tensor(c), 7))
        assert_close(found["student_logits"].grad[row], wanted, rtol=1e-4, atol=1e-5)
    assert_close(found["student_logits"].grad.sum(-1), torch.zeros(6), atol=1e-5, rtol=0)


@given(seed=st.integers(0, 2**16), share=st.floats(0, 1))
def test_it_is_convex_in_the_students_scores(seed, share):
    one, other = signals(seed), signals(seed + 1)["student_logits"]
    between = share * one["student_logits"] + (1 - share) * other
    below = pld(PLD(), **one | {"student_logits": between})
    above = share * pld(PLD(), **one) + (1 - share) * pld(PLD(), **one | {"student_logits": other})
    assert (below <= above + 1e-4).all()


def test_classes_that_the_teacher_believes_alike_are_ranked_as_they_stand():
    found = signals()
    even = found | {"teacher_logits": torch.zeros(6, 7)}
    slow = []
    for s, label in zip(found["student_logits"].tolist(), found["labels"].tolist(), strict=True):
        rank = [label, *(c for c in range(7) if c != label)]
        left = [log(sum(exp(s[c]) for c in rank[k:])) for k in range(7)]
        slow.append(sum(rest - s[c] for rest, c in zip(left, rank, strict=True)) / 7)
    assert_close(pld(PLD(), **even), torch.tensor(slow), rtol=1e-5, atol=1e-5)


@given(seed=st.integers(0, 2**16))
def test_other_names_for_the_classes_change_nothing(seed):
    found = signals(seed)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(seed))
    named = {name: found[name][:, order] for name in NEEDS[:2]}
    named["labels"] = order.argsort()[found["labels"]]
    assert_close(pld(PLD(), **named), pld(PLD(), **found), rtol=1e-4, atol=1e-5)


@given(seed=st.integers(0, 2**16))
def test_it_is_at_least_the_cross_entropy_that_the_teacher_lets_count(seed):
    found = signals(seed)
    rows = torch.arange(6), found["labels"]
    labels = F.cross_entropy(found["student_logits"], found["labels"], reduction="none")
    floor = found["teacher_logits"].softmax(-1)[rows] * labels
    assert (pld(PLD(), **found) >= floor - 1e-5).all()


def test_a_student_that_ranks_as_the_target_with_wide_gaps_has_nothing_to_learn():
    found = signals()
    targets = zip(found["teacher_logits"].tolist(), found["labels"].tolist(), strict=True)
    places = torch.tensor([ranking(t, label) for t, label in targets]).argsort(-1)
    student = {"student_logits": -100.0 * places}
    assert_close(pld(PLD(), **found | student), torch.zeros(6), atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", MODES)
def test_large_scores_and_many_classes_stay_finite_with_their_gradients(mode):
    rng = torch.Generator().manual_seed(0)
    student = (torch.randn(3, 2000, generator=rng) * 1e4).requires_grad_()
    teacher = torch.randn(3, 2000, generator=rng) * 1e4
    labels = torch.tensor([0, 7, 1999])
    loss = pld(
        PLD(weights=mode), student_logits=student, teacher_logits=teacher, labels=labels
    )  # fmt: skip
    loss.sum().backward()
    assert loss.isfinite().all()
    assert student.grad.isfinite().all()


def test_in_bfloat16_it_computes_in_float32_and_the_teacher_learns_nothing():
    found = example_signals(NEEDS, dtype=torch.bfloat16)
    found["teacher_logits"].requires_grad_()
    loss = pld(PLD(), **found)
    loss.sum().backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite().all()
    assert found["teacher_logits"].grad is None


def test_of_an_example_without_a_label_the_teachers_ranking_is_the_target():
    found = signals()
    likeliest = found["teacher_logits"].argmax(-1)
    some = torch.tensor([True, False] * 3)
    hidden = found | {"labels": found["labels"].where(some, -1)}
    told = found | {"labels": found["labels"].where(some, likeliest)}
    assert torch.equal(pld(PLD(), **hidden), pld(PLD(), **told))


@pytest.mark.parametrize("mode", MODES)
def test_it_tells_what_the_label_counts(mode):
    found, options = signals(), PLD(weights=mode, temperature=2.0)
    told = label_weight(options, **found)
    rows = zip(found["teacher_logits"].tolist(), found["labels"].tolist(), strict=True)
    wanted = [weights(options, t, ranking(t, label))[0] for t, label in rows]
    assert_close(told, torch.tensor(wanted))
    terms = Terms([UseObjective.model_validate({"kind": "pld", **options.model_dump()})])
    said = {"teacher": Said({"logits": found["teacher_logits"]}, {})}
    assert_close(terms(found, {}, said)[1]["pld.label_weight"], told.mean())


def test_every_token_of_a_text_has_a_loss():
    found = signals()
    texts = {name: value.unflatten(0, (2, 3)) for name, value in found.items()}
    assert_close(pld(PLD(), **texts).flatten(), pld(PLD(), **found))


@pytest.mark.parametrize(
    "mixed", [torch.full((6, 7), 1 / 7), torch.ones(6), torch.ones(6, 7).int()]
)
def test_mixed_labels_are_refused_with_what_to_do(mixed):
    with pytest.raises(StageError, match="one class per example") as caught:
        pld(PLD(), **signals() | {"labels": mixed})
    assert "kd beside cross_entropy" in caught.value.next_step
