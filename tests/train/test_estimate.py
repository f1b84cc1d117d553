"""What a training takes, from shapes alone."""

import pytest
import torch
from torch import nn

from edgekd.core.signature import Port, Signature
from edgekd.train.estimate import IN_FLIGHT, checkpoint_bytes, training_bytes
from edgekd.train.evaluate import BATCH
from edgekd.train.optim import Train

SIGNATURE = Signature(
    (Port("x", "float32", ("batch", 100)),), (Port("logits", "float32", ("batch", 10)),)
)
FLOAT = 4


def network(width=50):
    with torch.device("meta"):
        return nn.Sequential(nn.Linear(100, width), nn.ReLU(), nn.Linear(width, 10))


def test_it_is_the_sum_of_its_parts():
    weights = FLOAT * (100 * 50 + 50 + 50 * 10 + 10)
    saved = FLOAT * 64 * (100 + 50)  # both layers' inputs; the ReLU's output is one of them
    step, scored = IN_FLIGHT * FLOAT * 64 * 100, IN_FLIGHT * FLOAT * BATCH * 100
    found = training_bytes([network()], [], SIGNATURE, Train(optimizer="adamw", batch_size=64))
    assert found == 5 * weights + saved + step + scored


@pytest.mark.parametrize(
    ("options", "slots"),
    [
        ({"optimizer": "adamw"}, 2),
        ({"optimizer": "sgd"}, 1),
        ({"optimizer": "sgd", "momentum": 0.0}, 0),
    ],
)
def test_a_checkpoint_has_the_weights_twice_and_what_the_optimizer_keeps(options, slots):
    weights = FLOAT * (100 * 50 + 50 + 50 * 10 + 10)
    assert checkpoint_bytes([network()], Train(**options)) == 3 * (2 + slots) * weights


def test_a_teacher_a_larger_batch_and_a_wider_model_take_more():
    def told(width=50, teachers=(), **options):
        return training_bytes([network(width)], teachers, SIGNATURE, Train(**options))

    assert told() < told(batch_size=128) < told(batch_size=256)
    assert told() < told(width=60)
    assert told() < told(teachers=[network(200)])


def test_frozen_weights_take_neither_gradient_nor_optimizer():
    frozen = network()
    for parameter in frozen[0].parameters():
        parameter.requires_grad_(False)
    whole = training_bytes([network()], [], SIGNATURE, Train())
    part = training_bytes([frozen], [], SIGNATURE, Train())
    assert whole - part >= 3 * FLOAT * (100 * 50 + 50)


class Looks(nn.Module):
    """Asks for a value, which a model without memory has not."""

    def forward(self, x):
        return x[:, :10] if x.sum() > 0 else -x[:, :10]


def test_a_model_that_cannot_be_followed_is_not_guessed():
    assert training_bytes([Looks()], [], SIGNATURE, Train()) is None
