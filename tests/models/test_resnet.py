"""The residual network."""

import copy

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from edgekd.core.refs import UseModel
from edgekd.core.signature import Port, Signature
from edgekd.models.folder import StoredModel, load_model, save_model


def signature(channels=1, size=8, classes=10):
    return Signature(
        (Port("image", "float32", ("batch", channels, size, size)),),
        (Port("logits", "float32", ("batch", classes)),),
    )


def build(sig=None, **options):
    torch.manual_seed(0)
    return UseModel.model_validate({"kind": "resnet", **options}).build()(sig or signature()).eval()


@pytest.mark.parametrize("depth", [8, 14, 20, 32])
def test_depth_counts_the_layers_with_weights_beside_the_shortcuts(depth):
    layers = [
        m for m in build(depth=depth, width=4).modules() if isinstance(m, nn.Conv2d | nn.Linear)
    ]
    on_shortcuts = [m for m in layers if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)]
    assert len(layers) - len(on_shortcuts) == depth


def test_the_papers_resnet_20_has_its_270_thousand_parameters():
    network = build(signature(3, 32), depth=20)
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(270_000, rel=0.02)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [1, 8, 15, 28])
@pytest.mark.parametrize("stem_stride", [1, 2])
def test_it_takes_any_image_and_scores_every_class(channels, size, stem_stride):
    network = build(signature(channels, size, 7), depth=8, width=4, stem_stride=stem_stride)
    assert network(torch.rand(3, channels, size, size)).shape == (3, 7)


@pytest.mark.parametrize("depth", [2, 9, 12, True])
def test_a_depth_that_is_not_6n_plus_2_is_refused(depth):
    with pytest.raises(ValidationError):
        build(depth=depth)


def test_an_export_takes_any_batch_and_answers_alike():
    network = build(depth=8, width=8)
    batch = {0: torch.export.Dim("batch", min=1, max=64)}
    program = torch.export.export(network, (torch.rand(2, 1, 8, 8),), dynamic_shapes=(batch,))
    image = torch.rand(5, 1, 8, 8)
    torch.testing.assert_close(program.module()(image), network(image))


def test_a_network_with_channels_removed_comes_back_from_its_folder(tmp_path):
    """Removes two of eight channels inside one block, as structured pruning does."""
    network = build(depth=8, width=8)
    narrow = copy.deepcopy(network)
    first, norm, _, second, _ = narrow.stages[0][0].residual
    kept = [0, 1, 3, 4, 6, 7]
    first.weight = nn.Parameter(first.weight[kept])
    norm.weight, norm.bias = (nn.Parameter(p[kept]) for p in (norm.weight, norm.bias))
    norm.running_mean, norm.running_var = norm.running_mean[kept], norm.running_var[kept]
    second.weight = nn.Parameter(second.weight[:, kept])
    use = UseModel.model_validate({"kind": "resnet", "depth": 8, "width": 8})
    save_model(tmp_path, StoredModel(narrow, use, signature(), {}))
    image = torch.rand(2, 1, 8, 8)
    again = load_model(tmp_path).module
    torch.testing.assert_close(again(image), narrow(image))
    assert again.stages[0][0].residual[0].out_channels == 6


def test_features_stay_in_scale_from_stem_to_head():
    """Fresh weights neither blow up nor die: what an initialisation is for."""
    network = build(signature(3, 32), depth=32).train()
    spread = network(torch.randn(64, 3, 32, 32)).std()
    assert 0.05 < spread < 20
