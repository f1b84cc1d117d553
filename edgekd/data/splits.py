"""Cutting labelled examples into parts, the same way every time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgekd.core.seeds import sub_seed

if TYPE_CHECKING:
    import numpy as np

    Indices = np.ndarray[Any, np.dtype[np.int64]]


def stratified_parts(label: Indices, sizes: Sequence[int], seed: int) -> list[Indices]:
    """Return disjoint parts with `sizes` members, each class spread evenly over every part.

    The order within a part is by chance but even too: any run of it has the classes in about
    their shares. ValueError where the sizes sum to more than there is.
    """
    order = stratified_order(label, seed)
    if sum(sizes) > len(order):
        raise ValueError(f"asked for {sum(sizes)} of {len(order)} examples")
    ends = [sum(sizes[: index + 1]) for index in range(len(sizes))]
    return [order[end - size : end] for size, end in zip(sizes, ends, strict=True)]


def stratified_order(label: Indices, seed: int) -> Indices:
    """Return a shuffled order of the examples in which every run holds each class's share."""
    import numpy as np

    rng = np.random.default_rng(sub_seed(seed, "stratified_order"))
    shuffled = rng.permutation(len(label))
    place = np.empty(len(label))
    for value in np.unique(label):
        members = shuffled[label[shuffled] == value]
        place[members] = (np.arange(len(members)) + rng.random()) / len(members)
    return shuffled[np.argsort(place[shuffled], kind="stable")]
