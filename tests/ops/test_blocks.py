"""Blocks: what a deep network is a sequence of."""

import pytest
from torch import nn

from edgekd.core.refs import UseModel
from edgekd.core.signature import Port, Signature
from edgekd.ops.blocks import blocks_of

PICTURES = Signature(
    (Port("image", "float32", ("batch", 1, 8, 8)),), (Port("logits", "float32", ("batch", 10)),)
)


def layer():
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU())


@pytest.mark.parametrize(
    ("use", "count"),
    [
        ({"kind": "resnet", "depth": 20}, 1 + 9),
        ({"kind": "depthwise", "blocks": (2, 3)}, 1 + 2 * 5),
    ],
)
def test_those_of_our_networks_are_the_stem_and_the_papers_blocks(use, count):
    # a depthwise separable convolution is two of them
    model = UseModel.model_validate(use).build()(PICTURES)
    assert len([*blocks_of(model)]) == count


def test_a_plain_sequence_of_layers_has_none():
    assert not [*blocks_of(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)))]


def test_they_are_the_innermost_and_in_order():
    first, second, third = layer(), layer(), layer()
    deep = nn.Sequential(nn.Sequential(first, second), nn.ModuleList([third, nn.Tanh()]))
    assert [*blocks_of(deep)] == [first, second, third]


def test_a_part_without_weights_is_none():
    assert not [*blocks_of(nn.Sequential(nn.Sequential(nn.ReLU(), nn.Flatten()), nn.Linear(4, 4)))]
