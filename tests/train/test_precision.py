"""Half precision, once a trial has shown that it does no harm."""

import copy

import pytest
import torch
from torch import nn

from edgekd.train import precision
from edgekd.train.precision import Precision, decide, decide_for_teacher, made_for_it

CPU = torch.device("cpu")


def network(scale=1.0):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    with torch.no_grad():
        model[2].bias.fill_(scale)
    return model


BATCHES = [{"x": torch.randn(32, 8, generator=torch.Generator().manual_seed(i))} for i in range(4)]


def loss(model, batch, how):
    with how.autocast(CPU):
        out = model(batch["x"])
    return out.float().logsumexp(-1).mean()


def fragile(model, batch, how):
    """Small differences of large numbers: what half precision cannot hold."""
    with how.autocast(CPU):
        out = model(batch["x"] * 1e-3)
    return (out.float() - out.float().detach().mean(0)).square().mean() * 1e4


@pytest.fixture
def made(monkeypatch):
    monkeypatch.setattr(precision, "made_for_it", lambda device: True)


def test_harmless_halves_are_taken_and_the_trial_leaves_no_trace(made):
    model = network()
    before = copy.deepcopy(model.state_dict())
    found = decide("auto", model, loss, BATCHES, CPU)
    assert found.half
    assert found.why.startswith("bfloat16: in a trial losses differed by 0.")
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in before)
    assert all(p.grad is None for p in model.parameters())


def test_harmful_halves_are_not(made):
    found = decide("auto", network(100.0), fragile, BATCHES, CPU)
    assert not found.half
    assert found.why.startswith("float32: in a trial losses differed by ")


def test_a_device_without_instructions_for_it_gets_none(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    assert not made_for_it(CPU)
    found = decide("auto", network(), loss, BATCHES, CPU)
    assert found == Precision(False, "float32: this cpu has no instructions for bfloat16")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    assert made_for_it(CPU)


@pytest.mark.parametrize(("wanted", "half"), [("float32", False), ("bfloat16", True)])
def test_what_is_asked_for_is_not_tried(wanted, half):
    def never(*_):
        raise AssertionError("nothing is tried")

    assert decide(wanted, network(), never, BATCHES, CPU).half == half
    assert decide_for_teacher(wanted, never, BATCHES, CPU).half == half


def test_a_teacher_is_judged_by_what_it_says(made):
    def says(offset):
        model = network(offset)

        def outputs(batch, how):
            with torch.no_grad(), how.autocast(CPU):
                return {"logits": model(batch["x"]).float()}

        return outputs

    assert decide_for_teacher("auto", says(0.0), BATCHES, CPU).half
    assert not decide_for_teacher("auto", says(1e4), BATCHES, CPU).half


def test_halves_are_computed_in_halves():
    with Precision(True, "").autocast(CPU):
        assert network()(BATCHES[0]["x"]).dtype == torch.bfloat16
    with Precision(False, "").autocast(CPU):
        assert network()(BATCHES[0]["x"]).dtype == torch.float32


def test_halves_that_give_no_numbers_are_not_taken(made):
    def spoiled(model, batch, how):
        return loss(model, batch, how) * (float("nan") if how.half else 1.0)

    assert not decide("auto", network(), spoiled, BATCHES, CPU).half

    def outputs(batch, how):
        return {"logits": batch["x"] * (float("nan") if how.half else 1.0)}

    assert not decide_for_teacher("auto", outputs, BATCHES, CPU).half
