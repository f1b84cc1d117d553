"""How examples lie to each other: the definitions by loops, and what has no direction."""

from math import dist, hypot

import torch
from torch.testing import assert_close

from edgekd.ops.similarities import angles, directions, relative_distances, similarities


def drawn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_they_are_the_definitions_written_out():
    rows = drawn(5, 3).tolist()
    products = [[sum(a * b for a, b in zip(x, y, strict=True)) for y in rows] for x in rows]
    wanted = [[value / hypot(*line) for value in line] for line in products]
    assert_close(similarities(torch.tensor(rows)), torch.tensor(wanted))
    lengths = [[dist(x, y) for y in rows] for x in rows]
    mean = sum(map(sum, lengths)) / 20
    wanted = [[value / mean for value in line] for line in lengths]
    assert_close(relative_distances(torch.tensor(rows)), torch.tensor(wanted))
    found = angles(torch.tensor(rows))
    for i, j, k in ((0, 1, 2), (4, 3, 0), (2, 2, 1)):
        one, two = ([a - b for a, b in zip(rows[n], rows[i], strict=True)] for n in (j, k))
        scale = (hypot(*one) * hypot(*two)) or 1
        wanted = sum(a * b for a, b in zip(one, two, strict=True)) / scale
        assert_close(found[i, j, k].item(), wanted, rtol=0, atol=1e-6)


def test_features_of_any_shape_are_taken_flat():
    feature = drawn(4, 3, 2, 2)
    for relation in (similarities, relative_distances, angles):
        assert torch.equal(relation(feature), relation(feature.flatten(1)))


def test_examples_that_are_alike_have_no_gradient_that_is_not_finite():
    for relation in (similarities, relative_distances, angles):
        for rows in (torch.zeros(4, 3), torch.ones(4, 3), drawn(2, 3).repeat(2, 1)):
            given = rows.clone().requires_grad_()
            (relation(given) * drawn(4, 4)).sum().backward()
            assert given.grad.isfinite().all()
            assert given.grad.abs().max() < 1e6
    assert torch.equal(directions(torch.zeros(2, 3)), torch.zeros(2, 3))
    assert torch.equal(relative_distances(torch.ones(3, 2)), torch.zeros(3, 3))
