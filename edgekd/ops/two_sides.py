"""Things put on one of two sides at least cost: a minimum cut."""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence

ONE, OTHER = 0, 1
"""The sides, as nodes of the network; things come after them."""
ROUNDING = 1e-9
Network = Sequence[dict[int, float]]
"""By node and node after it, how much can still flow."""


def least_cost(
    costs: Mapping[str, tuple[float, float]], apart: Mapping[tuple[str, str], float]
) -> set[str]:
    """Return what belongs on the first side, so that the whole costs least.

    `costs` gives what a thing costs on the first side and on the second, `apart` what two of them
    cost that are not on the same one. Of choices that cost alike the one with the fewest things on
    the first side is returned. The least cost is the largest flow (Ford and Fulkerson, 1956),
    found along shortest paths (Edmonds and Karp, 1972).
    """
    number = {thing: index for index, thing in enumerate(costs, OTHER + 1)}
    left: Network = [defaultdict(float) for _ in range(len(costs) + 2)]
    for thing, (first, second) in costs.items():
        left[ONE][number[thing]] += second
        left[number[thing]][OTHER] += first
    for (one, other), cost in apart.items():
        left[number[one]][number[other]] += cost
        left[number[other]][number[one]] += cost
    before = _reached(left)
    while OTHER in before:
        _send(left, before)
        before = _reached(left)
    return {thing for thing in costs if number[thing] in before}


def _reached(left: Network) -> dict[int, int]:
    """Return the nodes that more can flow to, each with the one before it on a shortest path."""
    before, waiting = {ONE: ONE}, deque([ONE])
    while waiting:
        node = waiting.popleft()
        for after, room in left[node].items():
            if room > ROUNDING and after not in before:
                before[after] = node
                waiting.append(after)
    return before


def _send(left: Network, before: Mapping[int, int]) -> None:
    """Let as much flow to the other side as the path there holds."""
    path, node = list[tuple[int, int]](), OTHER
    while node != ONE:
        path.append((before[node], node))
        node = before[node]
    most = min(left[one][after] for one, after in path)
    for one, after in path:
        left[one][after] -= most
        left[after][one] += most
