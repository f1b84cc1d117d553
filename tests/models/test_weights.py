"""Weights into a module."""

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from edgekd.models.weights import first_misfit, load_resized, shapes_in, shapes_of


def layers(width):
    """Return one layer of each kind whose width may change; the groups of one follow it."""
    return nn.Sequential(
        nn.Conv2d(3, width, 1),
        nn.Conv2d(width, 2 * width, 3, groups=width),
        nn.Conv2d(2 * width, 4 * width, 1, groups=2),
        nn.GroupNorm(2, 4 * width),
        nn.ConvTranspose2d(4 * width, 4 * width, 2, groups=4 * width),
        nn.ConvTranspose2d(4 * width, width, 2),
        nn.InstanceNorm2d(width, affine=True),
        nn.BatchNorm2d(width, affine=False),
        nn.Flatten(2),
        nn.Conv1d(width, width, 1),
        nn.BatchNorm1d(width),
        nn.Flatten(),
        nn.Linear(width * 64, width),
        nn.LayerNorm(width),
        nn.RMSNorm(width),
        nn.Linear(width, 5),
    ).eval()


ATTRIBUTES = ("in_channels", "out_channels", "groups", "in_features", "out_features",
              "num_features", "num_channels", "normalized_shape", "num_embeddings",
              "embedding_dim")  # fmt: skip


def described(module):
    return [
        [getattr(layer, name) for name in ATTRIBUTES if hasattr(layer, name)] for layer in module
    ]


@pytest.mark.parametrize("width", [4, 6, 8])
def test_layers_take_the_widths_of_their_weights_and_say_so(width):
    torch.manual_seed(0)
    narrow, wide = layers(width), layers(8)
    load_resized(wide, narrow.state_dict())
    assert described(wide) == described(narrow)
    image = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(wide(image), narrow(image))


def test_an_embedding_takes_its_size():
    table = nn.Embedding(9, 4)
    load_resized(table, nn.Embedding(7, 3).state_dict())
    assert (table.num_embeddings, table.embedding_dim) == (7, 3)


def test_a_layer_that_keeps_its_size_is_left_alone():
    torch.manual_seed(0)
    conv = nn.Conv2d(8, 16, 3, groups=8)
    other = nn.Conv2d(8, 16, 3, groups=8)
    load_resized(conv, other.state_dict())
    image = torch.rand(1, 8, 5, 5)
    assert torch.equal(conv(image), other(image))


def test_a_shared_weight_stays_shared():
    def tied(width):
        first, last = nn.Linear(5, width, bias=False), nn.Linear(5, width, bias=False)
        last.weight = first.weight
        return nn.ModuleList([first, last])

    wide = tied(8)
    load_resized(wide, tied(6).state_dict())
    assert wide[0].weight is wide[1].weight
    assert wide[1].out_features == 6


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"a": (2, 3), "b": (1,)}, ""),
        ({"a": (2, 3)}, "'b' [1] is missing"),
        ({"a": (2, 4), "b": (1,)}, "'a' is [2, 4], not [2, 3]"),
        ({"a": (2, 3), "b": (1,), "c": ()}, "'c' [] is too much"),
    ],
)
def test_the_first_that_differs_is_named(found, words):
    assert first_misfit(found, {"a": (2, 3), "b": (1,)}) == words


def test_a_file_tells_its_shapes_and_junk_does_not(tmp_path):
    state = nn.Linear(3, 2).state_dict()
    save_file(state, tmp_path / "good.safetensors")
    assert shapes_in(tmp_path / "good.safetensors") == shapes_of(state)
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    with pytest.raises(SafetensorError):
        shapes_in(tmp_path / "junk.safetensors")
