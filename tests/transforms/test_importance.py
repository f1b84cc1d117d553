import pytest
import torch
from torch import nn

from edgekd.testing.tiny import CASES
from edgekd.transforms.importance import products


def gated(case, model, batch, reader, gate):
    """Return each example's cross-entropy with what a layer reads multiplied by a gate."""

    def close(layer, given):
        shape = (1, -1, 1, 1) if isinstance(layer, nn.Conv2d) else (1, -1)
        return given[0] * gate.view(shape)

    hook = reader.register_forward_pre_hook(close)
    logits = model(batch["image"])
    hook.remove()
    return nn.functional.cross_entropy(logits, batch["labels"], reduction="none")


@pytest.mark.parametrize("name", ["body.1.0", "head"])
def test_a_product_is_the_derivative_of_an_examples_loss_by_a_gate_on_the_channel(name):
    case = CASES["plain"]
    model, batch = case.model(), case.samples(5, seed=3)
    found = products(model, case.signature, [batch])[name]
    reader = model.get_submodule(name)
    width = found.shape[1]
    for example in range(5):
        gate = torch.ones(width, requires_grad=True)
        gated(case, model, batch, reader, gate)[example].backward()
        torch.testing.assert_close(found[example], gate.grad, rtol=1e-4, atol=1e-6)


def test_products_of_several_batches_follow_one_another_and_leave_no_gradient():
    case = CASES["residual"]
    model, batches = case.model(), [case.samples(4, seed) for seed in (0, 1)]
    found = products(model, case.signature, batches)
    apart = [products(model, case.signature, [batch]) for batch in batches]
    for name in found:
        assert torch.equal(found[name], torch.cat([part[name] for part in apart]))
    assert all(p.grad is None for p in model.parameters())


class Twice(nn.Module):
    """One layer that reads twice."""

    def __init__(self):
        super().__init__()
        self.first, self.shared = nn.Linear(6, 4), nn.Linear(4, 4)
        self.logits, self.embedding = nn.Linear(4, 3), nn.Linear(4, 16)

    def forward(self, tokens, segment):
        x = self.shared(torch.relu(self.shared(torch.relu(self.first(tokens.float())))))
        return self.logits(x), self.embedding(x)


def test_the_calls_of_a_layer_that_is_called_twice_add_up():
    case = CASES["pair"]
    torch.manual_seed(0)
    model, batch = Twice(), case.samples(3)
    found = products(model, case.signature, [batch])["shared"]
    gate = torch.ones(3, 4, requires_grad=True)
    hook = model.shared.register_forward_pre_hook(lambda layer, given: given[0] * gate)
    logits, _ = model(batch["tokens"], batch["segment"])
    hook.remove()
    nn.functional.cross_entropy(logits, batch["labels"], reduction="sum").backward()
    torch.testing.assert_close(found, gate.grad)
