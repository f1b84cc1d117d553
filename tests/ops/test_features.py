"""Features brought together, and the projectors between them."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.testing import assert_close

from edgekd.core.errors import StageError
from edgekd.ops import projectors
from edgekd.ops.features import apart, as_tokens, at_same_places, pooled


def drawn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)))


def test_the_mean_over_places_is_a_vector():
    for feature, dims in ((drawn(2, 3, 4, 5), (2, 3)), (drawn(2, 4, 3), (1,)), (drawn(2, 3), ())):
        assert_close(pooled(feature), feature.mean(dims) if dims else feature)


def test_of_two_maps_the_larger_is_averaged_down_side_by_side():
    first, second = drawn(2, 3, 8, 4), drawn(2, 5, 4, 6)
    one, other = at_same_places(first, second)
    assert_close(one, F.avg_pool2d(first, (2, 1)))
    assert other.shape == (2, 5, 4, 4)
    assert at_same_places(first, first[:, :1])[0] is first


@pytest.mark.parametrize("other", [(2, 3), (2, 9, 3), (2, 3, 2, 2)])
def test_what_has_no_places_in_common_is_refused(other):
    with pytest.raises(StageError, match=r"shapes \[4, 3\] and .* have no places in common"):
        at_same_places(drawn(2, 4, 3), drawn(*other))
    assert at_same_places(drawn(2, 4, 3), drawn(2, 4, 7))[1].shape == (2, 4, 7)


def test_apart_is_the_mean_square_of_each_example():
    first, second = drawn(2, 3, 4, 4), drawn(2, 3, 4, 4) * 2
    assert_close(apart(first, second), F.mse_loss(first, second, reduction="none").mean((1, 2, 3)))


@pytest.mark.parametrize("own", [(3, 4, 4), (6, 3), (3,)])
def test_projectors_give_another_width_and_the_same_places(own):
    for made in (projectors.linear(own, 7), projectors.layers(own, (5, 7), bias=False)):
        given = made(drawn(2, *own))
        at = 1 if len(own) == 3 else -1
        assert given.shape[at] == 7
        assert given.numel() == 7 * 2 * torch.Size(own).numel() / 3
    assert [type(m) for m in projectors.layers(own, (5, 5, 7))][1::2] == [nn.ReLU, nn.ReLU]


def test_the_normed_one_has_a_norm_and_drops_out_while_it_learns_alone():
    torch.manual_seed(0)
    made, given = projectors.normed(4, 6, 0.5), drawn(8, 4)
    assert not torch.equal(made(given), made(given))
    assert torch.equal(made.eval()(given), made(given))
    assert made(given).shape == (8, 6)


def test_tokens_are_what_there_is_at_each_place():
    feature = drawn(2, 3, 4, 5)
    assert torch.equal(as_tokens(feature)[1, 7], feature[1, :, 1, 2])
    assert as_tokens(drawn(2, 4, 3)).shape == (2, 4, 3)
    assert as_tokens(drawn(2, 3)).shape == (2, 1, 3)
