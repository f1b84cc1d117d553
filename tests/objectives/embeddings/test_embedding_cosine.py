"""The cosine distance of embeddings: its value, its ends, and widths that differ."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from edgekd.core.errors import StageError
from edgekd.objectives.embeddings.embedding_cosine import EmbeddingCosine, embedding_cosine
from edgekd.testing.signals import example_signals

NEEDS = ("student_embedding", "teacher_embedding")


def distance(student, teacher):
    return embedding_cosine(EmbeddingCosine(), student_embedding=student, teacher_embedding=teacher)


@given(seed=st.integers(0, 2**16), length=st.floats(0.1, 10))
def test_of_unit_vectors_it_is_half_the_squared_distance_and_length_does_not_count(seed, length):
    student, teacher = example_signals(NEEDS, seed=seed).values()
    gap = student / student.norm(dim=1, keepdim=True) - teacher / teacher.norm(dim=1, keepdim=True)
    assert_close(distance(length * student, teacher), gap.square().sum(1) / 2)


def test_the_same_direction_is_0_and_the_opposite_is_2():
    teacher = example_signals(NEEDS)["teacher_embedding"]
    assert_close(distance(3 * teacher, teacher), torch.zeros(6), atol=1e-6, rtol=0)
    assert_close(distance(-teacher, teacher), torch.full((6,), 2.0))


def test_other_widths_are_refused_with_what_to_do():
    with pytest.raises(StageError, match=r"3 numbers and the teacher's 12(.|\n)*projection"):
        distance(torch.ones(6, 3), torch.ones(6, 12))
