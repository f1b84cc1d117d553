"""The least that must go so that a budget is kept."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from edgekd.core.errors import StageError

STEPS = 12
"""Halvings of the ratio: finer than any width can follow."""


@dataclass(frozen=True)
class Budget:
    """What may stay."""

    limit: int
    what: str
    """Unit of the limit, for people."""
    price: Callable[[nn.Module], int]


def within(
    budget: Budget, dense: nn.Module, remove: Callable[[float], nn.Module], most: float
) -> nn.Module:
    """Return what `remove` leaves at the smallest ratio that keeps the budget, by bisection.

    The dense model where it keeps the budget already; StageError where even `most` does not.
    """
    if budget.price(dense) <= budget.limit:
        return dense
    best = remove(most)
    if budget.price(best) > budget.limit:
        raise StageError(
            f"pruning cannot reach {budget.limit:,} {budget.what}: the dense model has "
            f"{budget.price(dense):,}, and the least that these options leave is "
            f"{budget.price(best):,}.",
            "Raise the budget, lower round_to, raise max_ratio, or begin with a smaller model.",
        )
    low, high = 0.0, most
    for _ in range(STEPS):
        middle = (low + high) / 2
        candidate = remove(middle)
        if budget.price(candidate) <= budget.limit:
            best, high = candidate, middle
        else:
            low = middle
    return best
