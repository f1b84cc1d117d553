"""Folding batch norms: the same numbers with fewer layers, and only where nobody could tell."""

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from edgekd.core.refs import UseTask
from edgekd.testing.tiny import CASES
from edgekd.train.folding import folded
from edgekd.train.taps import tapped
from edgekd.train.teaching import Online


def norms(model):
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def used(model):
    """Return the model with norms whose statistics are of some pictures, in eval mode."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, -2, 2)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.1, 3)
    return model.eval()


@pytest.mark.parametrize("name", ["plain", "residual", "depthwise"])
def test_the_outputs_stay_and_so_does_the_model(name):
    case = CASES[name]
    model = used(case.model())
    before = copy.deepcopy(model.state_dict())
    image = case.samples(8)["image"]
    own = folded(model)
    assert norms(own) < norms(model)
    assert_close(own(image), model(image), rtol=1e-4, atol=1e-4)
    after = model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_what_is_not_folded_shares_its_weights():
    model = used(CASES["plain"].model())
    assert folded(model).head.weight is model.head.weight
    plain = nn.Sequential(nn.Linear(3, 2))
    assert folded(plain) is plain


@pytest.mark.parametrize("tap", ["body.0.0", "body.0.1"])
def test_what_is_tapped_says_the_same(tap):
    case = CASES["plain"]
    model, image = used(case.model()), case.samples(8)["image"]
    own = folded(model, (tap,))
    assert norms(own) == 1
    with tapped(model, (tap,)) as expected:
        model(image)
    with tapped(own, (tap,)) as found:
        own(image)
    assert_close(found[tap], expected[tap], rtol=1e-4, atol=1e-4)


class Backwards(nn.Sequential):
    """A sequence that is none."""

    def forward(self, image):
        return self[0](self[1](image))


def shared():
    conv = nn.Conv2d(2, 2, 1)
    return nn.Sequential(conv, nn.BatchNorm2d(2), conv)


def hooked():
    model = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2))
    model[0].register_forward_hook(lambda module, given, out: out + 1)
    return model


@pytest.mark.parametrize(
    "model",
    [
        Backwards(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)),
        shared(),
        hooked(),
        nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2, track_running_stats=False)),
        nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1)),
    ],
)
def test_where_somebody_could_tell_nothing_is_folded(model):
    assert folded(model.eval()) is model


class Twice(nn.Module):
    """Uses the convolution of a sequence once more by itself."""

    def __init__(self):
        super().__init__()
        self.unit = nn.Sequential(nn.Conv2d(1, 10, 8), nn.BatchNorm2d(10))

    def forward(self, image):
        return (self.unit(image) + self.unit[0](image)).flatten(1)


def test_a_teacher_that_says_something_else_once_folded_stays_as_it_was():
    task = UseTask.model_validate({"kind": "image_classification", "data": "digits"}).build()
    cpu = torch.device("cpu")
    for model, folds in ((used(Twice()), False), (used(CASES["plain"].model()), True)):
        batch = next(task.batches("train", 16, device=cpu))
        teacher = Online(model, task.signature(), (), task, cpu)
        assert (teacher.module is not model) == folds
        with torch.no_grad():
            assert_close(teacher(batch, 0).outputs["logits"], model(batch["image"]),
                         rtol=1e-3, atol=1e-3)  # fmt: skip
