"""The depthwise-separable student."""

import pytest
import torch
from torch import nn

from edgekd.core.refs import UseModel
from edgekd.core.signature import Port, Signature


def signature(channels=1, size=28, classes=10):
    return Signature(
        (Port("image", "float32", ("batch", channels, size, size)),),
        (Port("logits", "float32", ("batch", classes)),),
    )


def build(sig=None, **options):
    torch.manual_seed(0)
    use = UseModel.model_validate({"kind": "depthwise", **options})
    return use.build()(sig or signature()).eval()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [1, 8, 15, 28])
@pytest.mark.parametrize("blocks", [(1,), (2, 1), (1, 2, 2)])
def test_it_takes_any_image_and_scores_every_class(channels, size, blocks):
    network = build(signature(channels, size, 7), width=4, blocks=blocks)
    assert network(torch.rand(3, channels, size, size)).shape == (3, 7)


def test_a_block_is_a_depthwise_and_a_pointwise_convolution():
    convolutions = [m for m in build().stages.modules() if isinstance(m, nn.Conv2d)]
    for depthwise, pointwise in zip(convolutions[::2], convolutions[1::2], strict=True):
        assert depthwise.groups == depthwise.in_channels == depthwise.out_channels
        assert depthwise.kernel_size == (3, 3)
        assert pointwise.kernel_size == (1, 1)
        assert pointwise.groups == 1


def test_each_stage_but_the_first_halves_the_resolution_and_doubles_the_channels():
    network = build(width=4, blocks=(1, 2, 1), stem_stride=1)
    features = network.stem(torch.rand(1, 1, 16, 16))
    shapes = [features.shape[1:]]
    for stage in network.stages:
        features = stage(features)
        shapes.append(features.shape[1:])
    assert shapes == [(4, 16, 16), (4, 16, 16), (8, 8, 8), (16, 4, 4)]


def test_relu_is_the_only_activation_so_that_it_folds_into_int8_kernels():
    plain = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Linear, nn.AdaptiveAvgPool2d, nn.Flatten)
    leaves = [m for m in build().modules() if not list(m.children())]
    assert all(isinstance(leaf, plain) for leaf in leaves)


def test_an_export_takes_any_batch_and_answers_alike():
    network = build(width=8)
    batch = {0: torch.export.Dim("batch", min=1, max=64)}
    program = torch.export.export(network, (torch.rand(2, 1, 28, 28),), dynamic_shapes=(batch,))
    image = torch.rand(5, 1, 28, 28)
    torch.testing.assert_close(program.module()(image), network(image))
