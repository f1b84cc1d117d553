"""Which vectors lie near each other, by the cosine between them, some rows at a time."""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from edgekd.ops.shapes import Embedding, Ids, OtherEmbedding, PerExample

ROWS = 1024
"""Rows of cosines that are held at once."""

Cosines = Float[Tensor, "ones others"]
Marks = Bool[Tensor, "ones others"]


def cosines(ones: Float[Tensor, "ones width"], others: Float[Tensor, "others width"]) -> Cosines:
    """Return the cosine of each of the ones with each of the others."""
    return F.normalize(ones, dim=-1) @ F.normalize(others, dim=-1).T


def nearer_than_answer(embedding: Embedding, ids: Ids, answers: Ids) -> Float[Tensor, " queries"]:
    """Return how many wrong answers lie as near to each query as its own answer, or nearer.

    A query is an example that has an answer; all that have none are answers. 0 where the right
    one is found first. ValueError where the answer of a query is none of these.
    """
    asks = answers >= 0
    known, among = ids[~asks], embedding[~asks]
    counts = [embedding.new_zeros(0)]
    queries = (torch.split(column[asks], ROWS) for column in (embedding, answers))
    for query, wanted in zip(*queries, strict=True):
        right = known == wanted[:, None]
        if not (right.sum(1) == 1).all():
            raise ValueError("the answer of a query is not among the examples that are answers")
        counts.append(_as_near(cosines(query, among), right))
    return torch.cat(counts)


def nearer_than_nearest(student: Embedding, teacher: OtherEmbedding) -> PerExample:
    """Return how many others the student puts as near to each as the teacher's nearest, or nearer.

    0 where both have the same nearest neighbour. All zeros where there are fewer than two others.
    """
    counts = [student.new_zeros(0)]
    for rows, own in _some_rows(len(student), student.device):
        near, wanted = (cosines(side[rows], side) for side in (student, teacher))
        nearest = wanted.masked_fill(own, -2).argmax(1, keepdim=True)
        right = torch.zeros_like(own).scatter_(1, nearest, True)
        counts.append(_as_near(near.masked_fill(own, -2), right))
    return torch.cat(counts)


def rank_correlation(student: Embedding, teacher: OtherEmbedding, most: int) -> PerExample:
    """Return Spearman's correlation of how near others are to each, in both spaces.

    Of more than `most` examples each is compared with evenly spaced ones, itself left out. Equal
    cosines are ranked in the order of the examples.
    """
    count = len(student)
    chosen = torch.linspace(0, count - 1, min(count, most), device=student.device).round().long()
    found = [student.new_zeros(0)]
    for rows, own in _some_rows(count, student.device):
        left_out = own[:, chosen]
        ours, theirs = (
            _ranks(cosines(side[rows], side[chosen]), left_out) for side in (student, teacher)
        )
        found.append(_correlation(ours, theirs, ~left_out))
    return torch.cat(found)


def _some_rows(count: int, device: torch.device) -> Iterator[tuple[Ids, Marks]]:
    """Yield the numbers of some rows after others, and the mark of its own column in each."""
    numbers = torch.arange(count, device=device)
    for rows in torch.split(numbers, ROWS):
        yield rows, rows[:, None] == numbers


def _as_near(near: Cosines, right: Marks) -> Float[Tensor, " ones"]:
    """Return how many others are not farther than the right one, of which each row has one.

    NaN is nowhere, so that it is never farther: a program that gives it finds nothing.
    """
    own = near.masked_fill(~right, -3).amax(1, keepdim=True)
    return (~(near < own) & ~right).sum(1).to(near)


def _ranks(near: Cosines, left_out: Marks) -> Cosines:
    """Return the rank of each among the others of its row; those left out come first."""
    return near.masked_fill(left_out, -2).argsort(dim=1, stable=True).argsort(dim=1).to(near)


def _correlation(ones: Cosines, others: Cosines, counted: Marks) -> Float[Tensor, " ones"]:
    """Return the correlation over the columns that are counted; 0 where there is no spread."""
    weight = counted.to(ones)
    count = weight.sum(1, keepdim=True).clamp(min=1)
    centred = [
        (side - (side * weight).sum(1, keepdim=True) / count) * weight for side in (ones, others)
    ]
    spread = torch.stack([side.square().sum(1) for side in centred]).prod(0).sqrt()
    return (centred[0] * centred[1]).sum(1) / spread.clamp(min=1e-12)
