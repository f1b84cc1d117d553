"""What selecting labels came to round by round, against drawing as many by chance."""

from collections.abc import Mapping
from statistics import mean, stdev
from typing import Any

from edgekd.ops.paired import holm

from .figures import difference, paired

CHANCE = "random"
Scores = Mapping[int, float]
"""By seed."""


def against_chance(rounds: Mapping[int, Mapping[str, Scores]]) -> list[dict[str, Any]]:
    """Return a row for each number of labels, and one for the mean of all rounds but the first.

    `rounds` has scores by labels and strategy; strategies that stand beside none by chance are not
    tested. All p are corrected together (Holm).
    """
    rows: dict[int | None, Mapping[str, Scores]] = {n: rounds[n] for n in sorted(rounds)}
    later = sorted(rounds)[1:]
    if len(later) > 1:
        every = [rounds[labels] for labels in later]
        rows[None] = {
            strategy: {seed: mean(row[strategy][seed] for row in every) for seed in scores}
            for strategy, scores in every[0].items()
        }
    tests = {
        (labels, strategy): test
        for labels, row in rows.items()
        for strategy, scores in row.items()
        if strategy != CHANCE and CHANCE in row and (test := paired(scores, row[CHANCE]))
    }
    ps = {place: test.p for place, test in tests.items() if test.p is not None}
    corrected = dict(zip(ps, holm([*ps.values()]), strict=True))
    return [
        {
            "labelled": labels,
            "strategies": {
                strategy: {
                    "mean": mean(scores.values()),
                    "deviation": stdev(scores.values()) if len(scores) > 1 else None,
                    "scores": {str(seed): score for seed, score in scores.items()},
                    "against": difference(test, corrected.get((labels, strategy)))
                    if (test := tests.get((labels, strategy)))
                    else None,
                }
                for strategy, scores in row.items()
            },
        }
        for labels, row in rows.items()
    ]
