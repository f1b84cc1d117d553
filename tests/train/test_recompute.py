"""Activation checkpointing: the same bits from less memory."""

import pytest
import torch
from torch import nn

from edgekd.core.refs import UseModel, UseTask
from edgekd.train.check import check_recomputing
from edgekd.train.optim import Train
from edgekd.train.recompute import recomputing

TASK = UseTask.model_validate({"kind": "image_classification", "data": "digits"})
RESNET = UseModel.model_validate({"kind": "resnet", "depth": 14, "width": 8})


def network():
    torch.manual_seed(0)
    model = RESNET.build()(TASK.build().signature())
    model.stages[0].append(nn.Sequential(nn.Dropout(0.5), nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8)))
    return model


def step(model, x):
    """Return the bytes that are kept for the gradient, and the output."""
    kept = {}

    def keep(tensor):
        kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    torch.manual_seed(1)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = model(x)
    size = sum(kept.values())
    out.square().sum().backward()
    return size, out


def test_output_gradients_and_norms_are_the_same_and_less_is_kept():
    x = torch.randn(4, 1, 8, 8)
    plain, other = network(), network()
    size, wanted = step(plain, x)
    with recomputing(other):
        less, found = step(other, x)
    assert torch.equal(wanted, found), "is dropout drawn anew?"
    grads = zip(plain.parameters(), other.parameters(), strict=True)
    assert all(torch.equal(a.grad, b.grad) for a, b in grads)
    norms = zip(plain.named_buffers(), other.named_buffers(), strict=True)
    assert all(torch.equal(a, b) for (_, a), (_, b) in norms), "was a batch counted twice?"
    assert int(dict(other.named_buffers())["stem.1.num_batches_tracked"]) == 1
    assert less < size / 2


def test_it_leaves_nothing_behind():
    model = network()
    with recomputing(model):
        assert "forward" in vars(model.stem)
    assert not any("forward" in vars(module) for module in model.modules())
    assert all(m.momentum == 0.1 for m in model.modules() if isinstance(m, nn.BatchNorm2d))


def test_without_a_gradient_nothing_is_done_twice():
    model, calls = network().eval(), []
    model.stem[0].register_forward_hook(lambda *_: calls.append(1))
    with recomputing(model), torch.no_grad():
        model(torch.randn(2, 1, 8, 8))
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("use", "options", "said"),
    [
        ("test_flat", {}, "plain sequence of layers"),
        ("resnet", {"compile": True}, "a compiled student"),
    ],
)
def test_where_it_cannot_be_it_is_said(plugged, use, options, said):
    from edgekd.core.kinds import model

    flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    plugged(model, "test_flat", lambda options, signature: flat)
    train = Train(activation_checkpointing=True, **options)
    (problem,) = check_recomputing(train, UseModel.model_validate(use), TASK.build())
    assert problem.path == "train.activation_checkpointing"
    assert said in problem.message
    assert problem.next_step


def test_it_is_not_asked_for_by_itself():
    assert not [*check_recomputing(Train(), UseModel.model_validate("resnet"), TASK.build())]
