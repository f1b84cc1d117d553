"""Optimizer groups and learning-rate schedules."""

from itertools import pairwise

import pytest
from pydantic import ValidationError
from torch import nn

from edgekd.train.optim import Train, make_optimizer, make_schedule, only_timed


def rates(steps=100, **options):
    config = Train(learning_rate=1.0, **options)
    optimizer = make_optimizer(config, [nn.Linear(2, 2)])
    schedule = make_schedule(config, optimizer, steps)
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return seen


def test_cosine_rises_over_the_warm_up_and_falls_to_nothing():
    seen = rates(schedule="cosine", warmup=0.1)
    assert seen[0] < 0.2
    assert max(seen) == pytest.approx(1.0, abs=0.01)
    assert seen.index(max(seen)) == pytest.approx(10, abs=1)
    assert seen[-1] < 0.01
    assert all(a >= b for a, b in pairwise(seen[11:]))


def test_one_cycle_peaks_at_thirty_percent():
    seen = rates(schedule="one_cycle")
    assert seen.index(max(seen)) == pytest.approx(30, abs=1)


def test_constant_stays_after_the_warm_up():
    assert rates(schedule="constant", warmup=0.0) == [1.0] * 100


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_biases_and_norms_do_not_decay(name):
    config = Train(optimizer=name, weight_decay=0.1)
    optimizer = make_optimizer(config, [nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))])
    for group in optimizer.param_groups:
        flat = {p.ndim <= 1 for p in group["params"]}
        assert flat == {group["weight_decay"] == 0.0}


def test_adamw_averages_gradients_and_their_squares_as_it_is_told():
    layers = [nn.Linear(2, 2)]
    told = make_optimizer(Train(momentum=0.8, beta2=0.95), layers)
    assert {group["betas"] for group in told.param_groups} == {(0.8, 0.95)}
    usual = make_optimizer(Train(), layers)
    assert {group["betas"] for group in usual.param_groups} == {(0.9, 0.999)}
    for name in ("momentum", "beta2"):
        with pytest.raises(ValidationError, match=rf"{name}\n.*less than 1"):
            Train(**{name: 1.0})


def test_frozen_parameters_are_not_optimized():
    layer = nn.Linear(2, 2)
    layer.weight.requires_grad_(False)
    optimizer = make_optimizer(Train(), [layer])
    assert [p.shape for g in optimizer.param_groups for p in g["params"]] == [layer.bias.shape]


def test_a_training_that_is_timed_chooses_no_examples():
    options = Train.model_validate({"epochs": 7, "select": "blended_confidence"})
    assert options.select is not None
    assert only_timed(options) == only_timed(Train(epochs=7))
