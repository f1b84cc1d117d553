"""Attention transfer: the sums written out, and what it does not look at."""

from math import sqrt

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from edgekd.core.errors import StageError
from edgekd.objectives.features.attention import Attention, attention


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def at(student, teacher, **options):
    return attention(Attention(**options), student_feature=student, teacher_feature=teacher)


def energies(feature, power):
    """Return the attention of one map by loops: a row of places of unit length."""
    channels = feature.flatten(1).tolist()
    sums = [sum(abs(channel[place]) ** power for channel in channels)
            for place in range(len(channels[0]))]  # fmt: skip
    norm = sqrt(sum(value**2 for value in sums))
    return [value / norm for value in sums]


@pytest.mark.parametrize("power", [2.0, 1.0, 4.0])
def test_it_equals_the_sums_written_out(power):
    student, teacher = drawn(3, 2, 3, 4), drawn(3, 5, 3, 4, seed=1)
    slow = []
    for one, other in zip(student, teacher, strict=True):
        pairs = zip(energies(one, power), energies(other, power), strict=True)
        slow.append(sum((a - b) ** 2 for a, b in pairs) / 12)
    assert_close(at(student, teacher, power=power), torch.tensor(slow), rtol=1e-4, atol=1e-7)


@given(seed=st.integers(0, 2**16), scale=st.floats(0.1, 10))
def test_neither_scale_nor_sign_nor_the_order_of_channels_counts(seed, scale):
    student, teacher = drawn(2, 4, 3, 3, seed=seed), drawn(2, 6, 3, 3, seed=seed + 1)
    losses = at(student, teacher)
    assert_close(at(-scale * student.flip(1), teacher), losses, rtol=1e-3, atol=1e-6)
    assert (losses >= 0).all()
    assert (losses <= 2 / 9).all()
    assert_close(at(student, scale * student), torch.zeros(2), rtol=0, atol=1e-6)


def test_maps_of_other_sizes_tokens_and_vectors_are_compared_place_by_place():
    assert at(drawn(2, 3, 8, 8), drawn(2, 5, 4, 4)).shape == (2,)
    tokens = drawn(2, 9, 4)
    as_map = tokens.transpose(1, 2).unflatten(2, (3, 3))
    other = drawn(2, 9, 6)
    assert_close(at(tokens, other), at(as_map, other.transpose(1, 2).unflatten(2, (3, 3))))
    vector = drawn(2, 9)
    assert_close(at(vector, other[..., 0]), at(vector[..., None], other[..., :1]))
    with pytest.raises(StageError, match="no places in common"):
        at(tokens, as_map)


@pytest.mark.parametrize("width", [6, 1])  # of 1 the other's would be stretched to, unasked
def test_vectors_of_other_widths_are_refused(width):
    with pytest.raises(StageError, match=f"vectors of {width} and 9 numbers") as caught:
        at(drawn(2, width), drawn(2, 9))
    assert "maps, or vectors of one width" in caught.value.next_step


@pytest.mark.parametrize("power", [0.5, 2.0])
def test_a_feature_of_zeros_has_a_gradient_that_is_finite(power):
    student = torch.zeros(2, 4, 3, 3, requires_grad=True)
    at(student, drawn(2, 4, 3, 3), power=power).sum().backward()
    assert student.grad.isfinite().all()
