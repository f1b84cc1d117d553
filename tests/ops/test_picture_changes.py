"""Changes of pictures by numbers: at none, at some, and their slopes."""

import torch
from torch.testing import assert_close

from edgekd.ops.picture_changes import masked, recoloured, warped

NONE = torch.tensor([[1.0, 0, 0], [0, 1, 0]])


def pictures(seed=0, count=3):
    return torch.randn(count, 2, 6, 8, generator=torch.Generator().manual_seed(seed))


def test_the_numbers_of_no_change_leave_a_picture_as_it_is():
    x, one = pictures(), torch.ones(3, 2)
    for edge in (True, False):
        assert (warped(x, NONE.expand(3, 2, 3), edge=edge) - x).abs().max() < 1e-5
    assert_close(recoloured(x, one, 0 * one, one), x)
    assert_close(masked(x, pictures(1), torch.zeros(3, 4, 4)), x)


def test_a_map_moves_a_picture_by_its_shift():
    x, maps = pictures(), NONE.repeat(3, 1, 1)
    maps[:, 0, 2] = 2 / 8 * 3  # three of eight pixels to the left
    found = warped(x, maps, edge=False)
    assert_close(found[..., :5], x[..., 3:], rtol=0, atol=1e-5)
    assert_close(found[..., 5:], torch.zeros(3, 2, 6, 3))
    border = warped(x, maps, edge=True)
    assert_close(border[..., 5:], x[..., -1:].expand(3, 2, 6, 3), rtol=0, atol=1e-5)


def test_colours_are_those_of_the_equation_and_their_slopes_finite():
    x = pictures().index_fill(3, torch.tensor([0]), 0.0)
    gain, bias, gamma = (torch.rand(3, 2, requires_grad=True) for _ in range(3))
    found = recoloured(x, gain, bias, gamma)
    value = x[1, 1, 2, 3]
    wanted = gain[1, 1] * value.sign() * value.abs() ** gamma[1, 1] + bias[1, 1]
    assert_close(found[1, 1, 2, 3], wanted)
    assert all(s.isfinite().all() for s in torch.autograd.grad(found.sum(), [gain, bias, gamma]))


def test_a_mask_blends_two_pictures_at_each_place():
    x, other = pictures(), pictures(1)
    assert_close(masked(x, other, torch.full((3, 4, 4), 0.25)), 0.75 * x + 0.25 * other)
    half = torch.zeros(3, 1, 2)
    half[..., 1] = 1
    found = masked(x, other, half)
    assert_close(found[..., 0], x[..., 0])
    assert_close(found[..., -1], other[..., -1])
