"""The divergence: its sum by loops, and which way round it is."""

import math

import torch
from torch.testing import assert_close

from edgekd.ops.divergence import divergence


def test_it_is_the_sum_written_out_of_the_first_from_the_second():
    chance = torch.Generator().manual_seed(0)
    of, to = (torch.randn(2, 3, 4, generator=chance).log_softmax(-1) for _ in range(2))
    found = divergence(of, to)
    assert found.shape == (2, 3)
    rows = zip(of.flatten(0, 1).tolist(), to.flatten(0, 1).tolist(), strict=True)
    sums = [
        sum(math.exp(p) * (p - q) for p, q in zip(row, other, strict=True)) for row, other in rows
    ]
    assert_close(found.flatten(), torch.tensor(sums))
    assert not torch.allclose(found, divergence(to, of))
    assert_close(divergence(of, of), torch.zeros(2, 3))
