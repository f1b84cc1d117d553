import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgekd.core.bits import unpack
from edgekd.measures.breakdown import break_down
from edgekd.measures.likeness.accuracy_drop import AccuracyDrop, accuracy_drop
from edgekd.measures.likeness.agreement import Agreement, agreement
from edgekd.measures.likeness.cka import CKA, cka
from edgekd.measures.likeness.negative_flips import NegativeFlips, negative_flips
from edgekd.measures.quality.accuracy import Accuracy, accuracy
from edgekd.measures.quality.calibration import Calibration, calibration

SEEDS = st.integers(0, 2**16)


def example(seed: int, batch: int = 40) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    return torch.randn(batch, 4) * 3, torch.randn(batch, 4), torch.randint(4, (batch,))


@given(SEEDS)
def test_the_drop_is_the_difference_of_two_accuracies(seed: int) -> None:
    student, teacher, labels = example(seed)
    own = accuracy(Accuracy(), student_logits=student, labels=labels).mean()
    reference = accuracy(Accuracy(), student_logits=teacher, labels=labels).mean()
    drop = accuracy_drop(
        AccuracyDrop(), student_logits=student, teacher_logits=teacher, labels=labels
    )
    assert torch.isclose(drop.mean(), reference - own, atol=1e-6)


@given(SEEDS)
def test_agreement_is_accuracy_against_the_references_choice(seed: int) -> None:
    student, teacher, _ = example(seed)
    assert torch.equal(
        agreement(Agreement(), student_logits=student, teacher_logits=teacher),
        accuracy(Accuracy(), student_logits=student, labels=teacher.argmax(-1)),
    )


@given(SEEDS)
def test_negative_flips_are_the_drop_and_what_was_gained(seed: int) -> None:
    student, teacher, labels = example(seed)
    signals = {"student_logits": student, "teacher_logits": teacher, "labels": labels}
    lost = negative_flips(NegativeFlips(), **signals)
    turned = {**signals, "student_logits": teacher, "teacher_logits": student}
    gained = negative_flips(NegativeFlips(), **turned)
    assert torch.equal(lost - gained, accuracy_drop(AccuracyDrop(), **signals))
    assert not (lost * gained).any()


@given(SEEDS)
def test_alignment_of_scores_is_the_papers_and_blind_to_turns(seed: int) -> None:
    student, teacher, _ = example(seed)
    x, y = ((one - one.mean(0)).double() for one in (student, teacher))
    wanted = (y.T @ x).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm())
    found = cka(CKA(), student_logits=student, teacher_logits=teacher)
    assert found.shape == (40,)
    assert torch.isclose(found.mean(), wanted.float(), atol=1e-5)
    turn = torch.linalg.qr(torch.randn(4, 4))[0]
    again = cka(CKA(), student_logits=3 * student @ turn + 1, teacher_logits=student)
    assert torch.isclose(again.mean(), torch.tensor(1.0), atol=1e-5)


@given(SEEDS, st.integers(1, 20))
def test_calibration_is_the_papers_sum_written_out(seed: int, num_bins: int) -> None:
    student, _, labels = example(seed)
    rows = [
        (max(p), p.index(max(p)) == y)
        for p, y in zip(student.softmax(-1).tolist(), labels.tolist(), strict=True)
    ]
    slow = 0.0
    for index in range(num_bins):
        inside = [r for r in rows if index / num_bins < r[0] <= (index + 1) / num_bins]
        if inside:
            confidence = sum(c for c, _ in inside) / len(inside)
            right = sum(h for _, h in inside) / len(inside)
            slow += len(inside) / len(rows) * abs(right - confidence)
    config = Calibration(num_bins=num_bins)
    found = calibration(config, student_logits=student, labels=labels).mean().item()
    assert found == pytest.approx(slow, abs=1e-5)


def test_a_program_that_is_right_as_often_as_it_says_is_calibrated() -> None:
    torch.manual_seed(0)
    logits = torch.randn(20_000, 10) * 2
    labels = torch.multinomial(logits.softmax(-1), 1)[:, 0]
    assert calibration(Calibration(), student_logits=logits, labels=labels).mean() < 0.02
    surer = calibration(Calibration(), student_logits=3 * logits, labels=labels)
    assert surer.mean() > 0.2


@given(SEEDS)
def test_agreement_is_the_same_either_way_and_bounds_both_accuracies(seed: int) -> None:
    student, teacher, labels = example(seed)
    both = {"student_logits": student, "teacher_logits": teacher}
    agreed = agreement(Agreement(), **both)
    turned = agreement(Agreement(), student_logits=teacher, teacher_logits=student)
    assert torch.equal(agreed, turned)
    renamed = {name: logits[:, [2, 0, 3, 1]] for name, logits in both.items()}
    assert torch.equal(agreement(Agreement(), **renamed), agreed)
    own, reference = (
        accuracy(Accuracy(), student_logits=logits, labels=labels).mean().item()
        for logits in both.values()
    )
    share = agreed.mean().item()
    assert own + reference - 1 - 1e-6 <= share <= 1 - abs(own - reference) + 1e-6


def test_a_certain_and_right_program_is_calibrated() -> None:
    labels = torch.arange(4)
    logits = torch.eye(4) * 100
    assert calibration(Calibration(), student_logits=logits, labels=labels).abs().max() < 1e-6


@given(SEEDS)
def test_the_breakdown_adds_up_to_the_whole(seed: int) -> None:
    student, _, labels = example(seed)
    found = break_down("p", "t", student, labels, ["a", "b"])
    hits = accuracy(Accuracy(), student_logits=student, labels=labels).sum().item()
    by_class = sum(q.value * (q.n or 0) for q in found.per_class.values())
    by_bin = sum(bin_.accuracy * bin_.count for bin_ in found.reliability)
    assert by_class == pytest.approx(hits)
    assert by_bin == pytest.approx(hits, abs=1e-4)
    assert set(found.per_class) <= {"a", "b", "2", "3"}
    each = accuracy(Accuracy(), student_logits=student, labels=labels).flatten()
    assert unpack(found.right, len(each)) == [bool(one) for one in each]
