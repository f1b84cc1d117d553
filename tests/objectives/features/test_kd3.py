"""KD^3's weighted alignment: its limits, and the sum written out."""

from math import exp, sqrt

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from edgekd.core.config import Config
from edgekd.core.errors import StageError
from edgekd.objectives.features.kd3 import kd3
from edgekd.testing.signals import example_signals

NEEDS = ("student_feature", "teacher_feature", "student_logits", "teacher_logits")


def example(seed, own=(3, 2, 2), wanted=(3, 2, 2)):
    shapes = {"student_feature": own, "teacher_feature": wanted}
    return example_signals(NEEDS, seed=seed, shapes=shapes)


def test_it_is_the_mean_of_weighted_squares_written_out():
    signals = example(0)
    total, numbers = 0.0, 0
    for f, t, z, y in zip(*(signals[name].tolist() for name in NEEDS), strict=True):
        weight = 1 / (1 + exp(-sqrt(sum((a - b) ** 2 for a, b in zip(z, y, strict=True)))))
        flat = [(torch.tensor(v).flatten().tolist()) for v in (f, t)]
        total += sum(weight * (a - b) ** 2 for a, b in zip(*flat, strict=True))
        numbers += len(flat[0])
    assert kd3(Config(), **signals).mean().item() == pytest.approx(total / numbers, rel=1e-5)


@given(seed=st.integers(0, 2**16))
def test_weights_are_from_a_half_to_one(seed):
    signals = example(seed)
    plain = (signals["student_feature"] - signals["teacher_feature"]).square().flatten(1).mean(1)
    weight = kd3(Config(), **signals) / plain
    assert ((weight >= 0.5) & (weight <= 1 + 1e-6)).all()
    same = signals | {"student_logits": signals["teacher_logits"]}
    assert_close(kd3(Config(), **same) / plain, torch.full_like(plain, 0.5))


def test_the_weight_has_no_gradient_and_equal_features_no_loss():
    signals = example(1)
    kd3(Config(), **signals).sum().backward()
    assert signals["student_logits"].grad is None
    equal = signals | {"student_feature": signals["teacher_feature"]}
    assert not kd3(Config(), **equal).any()


def test_the_larger_map_is_averaged_down():
    signals = example(2, own=(3, 4, 4))
    small = torch.nn.functional.adaptive_avg_pool2d(signals["student_feature"], 2)
    assert_close(kd3(Config(), **signals), kd3(Config(), **signals | {"student_feature": small}))


def test_another_width_is_refused():
    with pytest.raises(StageError, match=r"3 wide and the teacher's 5.*\n.*shared_classifier"):
        kd3(Config(), **example(0, wanted=(5, 2, 2)))
