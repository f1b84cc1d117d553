"""A fully connected network."""

import pytest
import torch
from torch import nn

from edgekd.core.signature import Port, Signature
from edgekd.models.mlp import MLP, mlp
from edgekd.testing.tiny import PAIRS, PICTURES


def test_it_takes_all_numbers_of_an_input_through_its_layers():
    network = mlp(MLP(widths=(5, 3)), PICTURES)
    sizes = [(m.in_features, m.out_features) for m in network.modules() if isinstance(m, nn.Linear)]
    assert sizes == [(64, 5), (5, 3), (3, 10)]
    x = torch.randn(2, 1, 8, 8)
    weights = [m for m in network.modules() if isinstance(m, nn.Linear)]
    hidden = x.flatten(1)
    for layer in weights[:-1]:
        hidden = (hidden @ layer.weight.T + layer.bias).clamp(min=0)
    torch.testing.assert_close(network(x), hidden @ weights[-1].weight.T + weights[-1].bias)


def test_without_hidden_layers_it_is_linear():
    network = mlp(MLP(widths=()), PICTURES)
    assert sum(p.numel() for p in network.parameters()) == 650


def test_what_is_not_one_input_of_numbers_is_refused():
    with pytest.raises(ValueError, match="one input and gives one output"):
        mlp(MLP(), PAIRS)
    whole = Signature((Port("tokens", "int64", ("batch", 4)),), PICTURES.outputs)
    with pytest.raises(ValueError, match="tokens is choices"):
        mlp(MLP(), whole)


def test_a_picture_is_seen_by_the_means_of_its_squares():
    network, x = mlp(MLP(widths=(), pool=4), PICTURES), torch.randn(2, 1, 8, 8)
    assert sum(p.numel() for p in network.parameters()) == 50
    coarse = nn.functional.interpolate(nn.functional.avg_pool2d(x, 4), scale_factor=4)
    torch.testing.assert_close(network(x), network(coarse))
    with pytest.raises(ValueError, match="pool is 9, and an example has 8 x 8 numbers"):
        mlp(MLP(pool=9), PICTURES)
