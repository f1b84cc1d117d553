"""What was made with several seeds in one run, against the same stages of another.

Seeds that both runs have are paired: they share what a seed decides, and the spread over them is
what training again would change. The p values of all tests are corrected together (Holm 1979).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from edgekd.core.quantity import Quantity
from edgekd.ops.paired import Paired, holm
from edgekd.report.across.given import Given
from edgekd.report.across.schema import Seeded
from edgekd.report.comparison import by_seed, difference_of, paired_by_seed, words_of
from edgekd.report.schema.comparison import Arm


@dataclass(frozen=True)
class _Pair:
    run: str
    measure: str
    base: Arm
    other: Arm
    test: Paired


def seeded(runs: Sequence[Given]) -> list[Seeded]:
    """Return a comparison for each arm that the base and another run scored with equal seeds."""
    base, *others = runs
    pairs = [pair for other in others for pair in _pairs(base, other)]
    tested = [pair.test.p for pair in pairs if pair.test.p is not None]
    corrected = iter(holm(tested))
    return [_seeded(pair, next(corrected) if pair.test.p is not None else None) for pair in pairs]


def _pairs(base: Given, other: Given) -> list[_Pair]:
    ours, theirs = (
        {(group.measure, arm.name): arm for group in run.report.comparisons for arm in group.arms}
        for run in (base, other)
    )
    return [
        _Pair(other.letter, place[0], ours[place], arm, test)
        for place, arm in theirs.items()
        if place in ours and (test := paired_by_seed(arm.scores, ours[place].scores))
    ]


def _seeded(pair: _Pair, p: float | None) -> Seeded:
    both = [by_seed(arm.scores) for arm in (pair.base, pair.other)]
    seeds = [seed for seed in both[0] if seed in both[1]]
    unit = next(one.score.unit for one in pair.base.scores if one.score)
    apart = "share_difference" if unit == "share" else unit
    base, other = (Quantity(mean(scores[s] for s in seeds), unit) for scores in both)
    return Seeded(
        run=pair.run,
        stage=pair.base.name,
        measure=pair.measure,
        base=base,
        other=other,
        difference=difference_of(pair.test, apart),
        p=p,
        words=words_of(pair.test, apart, p),
    )
