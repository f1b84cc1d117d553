"""The divergence of neighbours: the sum written out, and what it does not look at."""

from math import exp, log, sqrt

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from edgekd.objectives.embeddings.embedding_neighbours import (
    EmbeddingNeighbours,
    embedding_neighbours,
)
from edgekd.testing.signals import example_signals

NEEDS = ("student_embedding", "teacher_embedding")


def divergence(student, teacher, temperature=0.04):
    return embedding_neighbours(
        EmbeddingNeighbours(temperature=temperature),
        student_embedding=student,
        teacher_embedding=teacher,
    )


def softened(space, n, temperature):
    rows = space.tolist()
    length = [sqrt(sum(x * x for x in row)) for row in rows]
    near = {
        m: sum(x * y for x, y in zip(rows[n], rows[m], strict=True)) / (length[n] * length[m])
        for m in range(len(rows))
        if m != n
    }
    total = sum(exp(c / temperature) for c in near.values())
    return {m: exp(c / temperature) / total for m, c in near.items()}


def test_it_equals_the_sum_written_out():
    student, teacher = example_signals(NEEDS, batch=4).values()
    for n, found in enumerate(divergence(student, teacher, 0.5).tolist()):
        p, q = (softened(space, n, 0.5) for space in (student, teacher))
        assert found == pytest.approx(sum(q[m] * (log(q[m]) - log(p[m])) for m in q), rel=1e-4)


@given(seed=st.integers(0, 2**16))
def test_a_student_that_turned_its_teachers_space_has_nothing_to_learn(seed):
    teacher = example_signals(NEEDS, seed=seed)["teacher_embedding"]
    rng = torch.Generator().manual_seed(seed)
    wider = torch.linalg.qr(torch.randn(20, 12, generator=rng))[0].T  # 12 orthonormal rows
    assert_close(divergence(teacher @ wider, teacher), torch.zeros(6), atol=1e-3, rtol=0)


def test_an_example_alone_has_nothing_to_learn():
    assert divergence(torch.ones(1, 3, requires_grad=True), torch.ones(1, 5)).tolist() == [0.0]
