"""How a budget is shared out: rounds of successive halving, the last one with several seeds.

Jamieson and Talwalkar (arXiv 1502.07943): many methods have little each, the better ones of each
round go on and have more. Here a third goes on, and the last round learns under seeds that chose
nothing, so that what it shows may be tested.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from edgekd.core.errors import Problem, RequestError

FINALISTS = 3
FINAL_SEEDS = 5
"""With fewer, a paired test can hardly show a difference."""
SHARE_THAT_STAYS = 3


@dataclass(frozen=True)
class Round:
    """One round of the trial."""

    methods: int
    """How many are tried, besides the controls."""
    epochs: int
    seeds: int

    def cost(self, controls: int) -> int:
        """Return the epochs of all trainings of this round."""
        return (self.methods + controls) * self.seeds * self.epochs


def schedule(methods: int, controls: int, budget: int, full: int) -> list[Round]:
    """Return the rounds of a trial that takes at most `budget` epochs in all.

    No training is longer than `full` epochs. RequestError where even one epoch each is too much.
    """
    least = _least(methods)
    left = budget - least_budget(methods, controls)
    if left < 0:
        message = f"{methods} losses to try beside {controls} controls take {budget - left} epochs."
        step = f"Give at least --budget {budget - left}epochs, or try fewer with --only."
        raise RequestError(Problem("", message, step, "--budget"))
    rounds: list[Round] = []
    early = len(least) - 1
    for n, one in enumerate(least):
        # The last round has as much as all others together, and what whole epochs leave of theirs.
        share = left // (2 * early - n) if n < early else left
        more = min(full - 1, share // one.cost(controls))
        rounds.append(Round(one.methods, 1 + more, one.seeds))
        left -= more * one.cost(controls)
    return rounds


def least_budget(methods: int, controls: int) -> int:
    """Return the epochs of a trial in which every training has one."""
    return sum(one.cost(controls) for one in _least(methods))


def _least(methods: int) -> list[Round]:
    sizes = [*_sizes(methods)]
    return [Round(n, 1, FINAL_SEEDS if n == sizes[-1] else 1) for n in sizes]


def _sizes(methods: int) -> Iterator[int]:
    while methods > FINALISTS:
        yield methods
        methods = max(FINALISTS, -(-methods // SHARE_THAT_STAYS))
    yield methods
