import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.ops.ranges import Histogram, Levels, least_squares_range, squared_errors


def values(shape, seed=0, count=4000):
    """Return values as layers give them: symmetric, cut at zero, or with a long tail."""
    drawn = torch.randn(count, generator=torch.Generator().manual_seed(seed))
    return {"normal": drawn, "relu": drawn.relu(), "tail": drawn**3, "shifted": drawn + 1.5}[shape]


def seen(*parts):
    histogram = Histogram()
    for part in parts:
        histogram.add(part)
    return histogram


def slow_error(numbers, low, high, *, symmetric):
    """Return the mean squared error of rounding to int8, number by number."""
    if symmetric:
        scale, zero = max(-low, high) / 127.5, 0
    else:
        scale = (high - low) / 255
        zero = -128 - round(low / scale)
    total = 0.0
    for number in numbers:
        whole = max(-128, min(127, round(number / scale) + zero))
        total += ((whole - zero) * scale - number) ** 2
    return total / len(numbers)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("shape", ["normal", "relu", "tail"])
def test_the_range_costs_as_little_as_the_best_of_a_brute_search_over_the_values(shape, symmetric):
    drawn = values(shape, count=300)
    numbers = drawn.tolist()
    shares = [step / 24 for step in range(1, 25)]
    pairs = zip(shares, shares, strict=True) if symmetric else itertools.product(shares, shares)
    least, most = min(0.0, *numbers), max(0.0, *numbers)
    if least == 0:
        pairs = [(1.0, share) for share in shares]
    best = min(slow_error(numbers, least * a, most * b, symmetric=symmetric) for a, b in pairs)
    low, high = least_squares_range(seen(drawn), Levels(symmetric=symmetric))
    assert least <= low <= 0 <= high <= most
    assert slow_error(numbers, low, high, symmetric=symmetric) <= 1.1 * best


@pytest.mark.parametrize("shape", ["normal", "relu", "tail", "shifted"])
@pytest.mark.parametrize("outlier", [False, True])
def test_it_is_never_worse_than_the_extremes_and_much_better_with_a_rare_outlier(shape, outlier):
    histogram, levels = seen(values(shape)), Levels()
    if outlier:
        histogram.counts *= 1e6  # so many values that the one does not count
        histogram.add(torch.tensor([300.0]))
    ends = least_squares_range(histogram, levels), (histogram.low, histogram.high)
    low, high = (torch.tensor(side, dtype=torch.float64) for side in zip(*ends, strict=True))
    found, extremes = squared_errors(histogram, low, high, levels).tolist()
    assert found <= extremes
    if outlier:
        assert found < extremes / 2
        assert ends[0][1] < 0.7 * histogram.high


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=40), st.integers(1, 39))
def test_what_is_counted_does_not_depend_on_how_the_values_came(numbers, cut):
    tensor = torch.tensor(numbers)
    whole, parts = seen(tensor), seen(tensor[:cut], tensor[cut:])
    assert torch.equal(whole.counts, parts.counts)
    assert (whole.limit, whole.low, whole.high) == (parts.limit, parts.low, parts.high)
    assert whole.counts.sum() == len(numbers)


def test_what_is_not_finite_is_not_counted():
    strange = torch.tensor([1.0, float("inf"), -float("inf"), float("nan"), -2.0])
    assert torch.equal(seen(strange).counts, seen(torch.tensor([1.0, -2.0])).counts)


def test_nothing_seen_and_nothing_but_zero_give_the_range_of_zero():
    assert least_squares_range(seen(), Levels()) == (0.0, 0.0)
    assert least_squares_range(seen(torch.zeros(5)), Levels()) == (0.0, 0.0)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("ends", [(-1.3, 2.7), (0.2, 3.0), (-5.0, -1.0), (0.0, 0.0), (-1e-7, 1e-7)])
def test_scale_and_zero_are_torchaos_to_the_bit(ends, symmetric):
    from torchao.quantization.pt2e import MinMaxObserver

    scheme = torch.per_tensor_symmetric if symmetric else torch.per_tensor_affine
    theirs = MinMaxObserver(
        dtype=torch.int8, qscheme=scheme, quant_min=-128, quant_max=127, eps=2**-12
    )
    theirs(torch.tensor(ends))
    scale, zero = theirs.calculate_qparams()
    own_scale, own_zero = Levels(symmetric=symmetric).steps(*map(torch.tensor, ends))
    assert own_scale.item() == scale.item()
    assert own_zero.item() == zero.item()
    assert math.isfinite(own_scale.item())
