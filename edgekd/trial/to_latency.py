"""The least of a model that must go so that its program is fast enough, found on real exports."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from edgekd.core.artifact import digest_json
from edgekd.core.errors import StageError
from edgekd.core.quantity import Quantity
from edgekd.models.weights import shapes_of
from edgekd.trial.in_turns import Candidate, InTurns, median
from edgekd.trial.narrowing import CLOSE, standing

MOST = 18
"""Candidates that are measured at most."""
HOLDS = 3
"""How often layers that are too coarse are held while others get channels back."""
Remove = Callable[[float, Mapping[str, float]], nn.Module]
"""Takes a ratio, and ratios of their own for some layers by module path."""


@dataclass(frozen=True)
class Found:
    """What came of a search."""

    model: nn.Module
    ratio: float
    ratios: Mapping[str, float]
    """Those of layers that were held, by module path."""
    p50: Quantity
    dense: Quantity
    candidates: Sequence[Mapping[str, Any]]
    """All that were measured, in the order of what went."""

    @property
    def is_dense(self) -> bool:
        """Whether nothing went; layers that are held lose channels also at ratio 0."""
        return not self.ratio and not self.ratios


class Search:
    """Looks for the smallest ratio that keeps a budget in latency.

    Args:
        timer: exports and times, and knows the budget.
        remove: gives the model without a share of it.
        holds: whether `remove` follows ratios of single layers.
        most: the largest share that may go.
        tell: takes how many candidates are done, of how many, and what the last one came to.

    """

    def __init__(
        self,
        timer: InTurns,
        *,
        remove: Remove,
        holds: bool,
        most: float,
        tell: Callable[[int, int, str], None],
    ):
        self.timer, self.remove, self.tell = timer, remove, tell
        self.most, self.holds = most, HOLDS if holds else 0
        dense = remove(0.0, {})
        self._whole = shapes_of(dense.state_dict())
        self._dense = timer.program(dense, "dense")
        self._held: dict[str, float] = {}
        self._by_ratio: dict[float, Candidate] = {}
        self._by_shapes: dict[str, Candidate] = {}

    def search(self) -> Found:
        """Return what was found; StageError where nothing is fast enough, or a program fails."""
        self._try(self.most)
        best = self._narrow()
        for _ in range(self.holds):
            if best is None or self._is_close(best) or not self._hold(best):
                break
            later = self._narrow()
            keeping = [one for one in (best, later) if one and one.share <= self._limit]
            best = max(keeping, key=lambda one: one.share, default=best)
        if best is not None and best.share > self._limit:  # later turns say otherwise
            self._let_go()
            best = self._narrow()
        return self._found(best)

    def _narrow(self) -> Candidate | None:
        """Return the slowest that keeps the budget.

        None where the dense model does, or where none does with layers held; StageError where
        none does without.
        """
        while self._limit < 1:
            shares = {ratio: candidate.share for ratio, candidate in self._by_ratio.items()}
            now = standing(shares if self._held else {0.0: 1.0, **shares}, self._limit)
            last = self._by_ratio[max(shares) if now.best is None else now.best]
            if now.following is not None and len(self._by_shapes) < MOST:
                self._try(now.following)
            elif len(last.own) <= self.timer.settings.restarts or self._is_open(last):
                self._time(last)  # what was chosen for its time is timed once more
            elif now.best is None and not self._held:
                raise self._out_of_reach(last)
            else:
                return last if now.best is not None else None
        return None

    def _hold(self, best: Candidate) -> bool:
        """Hold the layers whose next width would be too slow; tell whether there are some.

        A width may belong to many layers, so that time falls by much at once. What falls too far
        is given back by all others.
        """
        ratio = max(ratio for ratio, one in self._by_ratio.items() if one is best)
        slower = max((r for r in self._by_ratio if r < ratio), default=None)
        before = self._whole if slower is None else self._by_ratio[slower].shapes
        fell = {
            name: before[name][0] - shape[0]
            for name, shape in best.shapes.items()
            if len(shape) > 1 and shape[0] != before[name][0]
        }
        if not fell or ratio == 0:
            return False
        falling = {
            name.rpartition(".")[0]: 1 - best.shapes[name][0] / self._whole[name][0]
            for name, channels in fell.items()
            if channels >= max(fell.values()) / 2  # others are fine enough to give back
        }
        self._held |= falling
        self._by_ratio = {ratio: best}
        self._try(0.0)
        return True

    def _let_go(self) -> None:
        """Hold no layer; all that was measured so counts again."""
        self._held = {}
        free = [one for one in self._by_shapes.values() if not one.held]
        self._by_ratio = {one.ratio: one for one in free}

    def _is_close(self, candidate: Candidate) -> bool:
        return candidate.share >= (1 - CLOSE) * self._limit

    @property
    def _limit(self) -> float:
        """The budget as a share of the dense model's time."""
        return self.timer.wanted.p50_ms / median(self.timer.turns)

    def _try(self, ratio: float) -> None:
        """Measure a ratio, unless one that leaves the same widths was measured."""
        model = self.remove(ratio, self._held)
        shapes = shapes_of(model.state_dict())
        key = digest_json([[name, *shape] for name, shape in shapes.items()])
        if key not in self._by_shapes:
            held = f"-{digest_json(self._held)[:12]}" if self._held else ""
            file = self.timer.program(model, f"without-{ratio:.9f}{held}")
            parameters = sum(parameter.numel() for parameter in model.parameters())
            candidate = Candidate(ratio, dict(self._held), shapes, parameters, file)
            self._by_shapes[key] = candidate
            self._time(candidate)
            while self._is_open(candidate):
                self._time(candidate)
        self._by_ratio[ratio] = self._by_shapes[key]

    def _time(self, candidate: Candidate) -> None:
        self.timer.time(candidate, self._dense)
        said = f"{candidate.share:.2f} of the dense model's time without {candidate.ratio:.3f}"
        self.tell(len(self._by_shapes), MOST, said)

    def _is_open(self, candidate: Candidate) -> bool:
        """Tell whether more restarts are due: its interval is wide, and the limit lies in it."""
        low, high = candidate.interval
        wide = high - low > 2 * CLOSE * candidate.share and low <= self._limit <= high
        return wide and len(candidate.own) < self.timer.settings.max_restarts

    def _out_of_reach(self, least: Candidate) -> StageError:
        wanted, timer = self.timer.wanted, self.timer
        return StageError(
            f"pruning cannot reach a p50 of {wanted.p50_ms:g} ms with {wanted.runtime.kind} on "
            f"{wanted.target}: the dense model takes {timer.dense_p50()}, and the least that these "
            f"options leave {timer.p50(least)}.",
            "Raise the budget, lower round_to, raise max_ratio, or begin with a smaller model.",
        )

    def _found(self, best: Candidate | None) -> Found:
        if restless := self.timer.restlessness():
            self.timer.warn(restless)
        tried = sorted(self._by_shapes.values(), key=lambda one: one.ratio)
        ratio, held = (best.ratio, best.held) if best else (0.0, {})
        return Found(
            self.remove(ratio, held),
            ratio,
            held,
            self.timer.p50(best) if best else self.timer.dense_p50(),
            self.timer.dense_p50(),
            [self._described(one) for one in tried],
        )

    def _described(self, candidate: Candidate) -> Mapping[str, Any]:
        p50 = self.timer.p50(candidate)
        return {
            "ratio": candidate.ratio,
            "ratios": dict(candidate.held),
            "parameters": candidate.parameters,
            "p50_ms": [p50.value, p50.low, p50.high],
            "share_of_dense": candidate.share,
            "restarts": len(candidate.own),
        }
