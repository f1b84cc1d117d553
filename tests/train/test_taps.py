"""Taps: they see what the module gives, and leave nothing behind."""

import pytest
import torch
from torch import nn

from edgekd.core.errors import StageError
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


def test_what_comes_behind_in_place_does_not_change_a_tap():
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(inplace=True), nn.Linear(5, 2))
    x = torch.randn(16, 3)
    with tapped(model, ["0"]) as seen:
        model(x)
    assert torch.equal(seen["0"], model[0](x))
    assert (seen["0"] < 0).any()


class Told(nn.Module):
    """Gives a mapping, as whole networks of some libraries do."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 5)

    def forward(self, x):
        return {"features": self.body(x)}


def test_a_module_that_gives_no_tensor_is_refused_with_what_is_inside_it():
    model = nn.Sequential(Told())
    says = r"'0' gives a dict and no tensor.\n.*Known: 0\.body"
    with pytest.raises(StageError, match=says), tapped(model, ["0"]):
        model(torch.randn(4, 3))
    assert not any(module._forward_hooks for module in model.modules())


def test_a_model_that_is_to_stop_computes_nothing_behind_its_last_tap():
    model, x, calls = network(), torch.randn(4, 3), []
    model[2].register_forward_hook(lambda *_: calls.append(2))
    out = None
    with tapped(model, ["1", "0"], stop=True) as seen:
        out = model(x)
    assert out is None
    assert torch.equal(seen["1"], model[1](model[0](x)))
    assert calls == []
    model(x)
    assert calls == [2], "nothing stays behind"
