"""Taps: they see what the module gives, and leave nothing behind."""

import pytest
import torch
from torch import nn

from edgekd.train.taps import tapped


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))


def test_the_last_modules_tap_is_the_output_bit_for_bit():
    model, x = network(), torch.randn(4, 3)
    with tapped(model, ["0", "2"]) as seen:
        out = model(x)
    assert torch.equal(seen["2"], out)
    assert torch.equal(seen["0"], model[0](x))


def test_no_hook_stays_and_nothing_changes():
    model, x = network(), torch.randn(4, 3)
    before = model(x)
    with pytest.raises(RuntimeError), tapped(model, ["1"]):
        model(torch.randn(4, 99))
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.equal(model(x), before)


def test_a_path_that_names_no_module_is_refused_with_the_nearest():
    model = nn.ModuleDict({"stages": nn.Identity()})
    with pytest.raises(KeyError, match="Did you mean 'stages'"), tapped(model, ["stage"]):
        pass
    assert not any(module._forward_hooks for module in model.modules())


def test_gradients_flow_through_a_tap():
    model = network()
    with tapped(model, ["0"]) as seen:
        model(torch.randn(4, 3))
        seen["0"].sum().backward()
    assert model[0].weight.grad is not None
