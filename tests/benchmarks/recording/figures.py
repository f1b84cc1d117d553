"""What a run of a paper's pipeline showed, by arm: scores, and tests against both controls."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Any

from edgekd.ops.paired import Paired, holm, paired_t

PLAIN, NONE, ALONE = "plain_kd", "no_kd", "plain_mae"
BASES = (NONE, PLAIN, ALONE)
"""Controls by the end of their names: those that `controls: true` makes, or stages of the file."""


@dataclass(frozen=True)
class Arm:
    """Stages that differ in their seed alone."""

    name: str
    """The stage of the first seed."""
    group: str
    scores: Mapping[int, float]
    """By seed."""
    stages: Mapping[int, str] = field(default_factory=dict)
    """By seed."""

    @property
    def base(self) -> str:
        """Which control it is; empty where it is a method."""
        end = self.name.rpartition(".")[2]
        return end if end in BASES else ""


def arms_of(comparisons: Iterable[Mapping[str, Any]]) -> list[Arm]:
    """Return all arms with a score, in the order of the file; ValueError where a seed failed."""
    found = []
    for comparison in comparisons:
        for arm in comparison["arms"]:
            failed = [one["stage"] for one in arm["scores"] if not one["score"]]
            if failed:
                raise ValueError(f"{failed[0]} has no score")
            scores = {one["seed"]: one["score"]["value"] for one in arm["scores"]}
            stages = {one["seed"]: one["stage"] for one in arm["scores"]}
            found.append(Arm(arm["scores"][0]["stage"], comparison["stage"], scores, stages))
    return found


def base_of(arm: Arm, base: str, arms: Sequence[Arm]) -> Arm | None:
    """Return the control of an arm: its own, else one of its group, else one of the file's."""
    known = [other for other in arms if other.base == base]
    nearness = (
        [other for other in known if other.name == f"{arm.name}.{base}"],
        [other for other in known if other.group == arm.group],
        known,
    )
    return next((found[0] for found in nearness if found), None)


def described(arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """Return every arm in JSON values; the p values of all tests are corrected together (Holm)."""
    tests = {
        (arm.name, base): test
        for arm in arms
        if not arm.base
        for base in BASES
        if (other := base_of(arm, base, arms)) and (test := paired(arm.scores, other.scores))
    }
    ps = {place: test.p for place, test in tests.items() if test.p is not None}
    corrected = dict(zip(ps, holm([*ps.values()]), strict=True))
    return [
        {
            "name": arm.name,
            "control": arm.base,
            "mean": mean(arm.scores.values()),
            "deviation": stdev(arm.scores.values()) if len(arm.scores) > 1 else None,
            "n": len(arm.scores),
            "scores": {str(seed): score for seed, score in arm.scores.items()},
            "against": {
                base: difference(tests[arm.name, base], corrected.get((arm.name, base)))
                for base in BASES
                if (arm.name, base) in tests
            },
        }
        for arm in arms
    ]


def paired(ones: Mapping[int, float], others: Mapping[int, float]) -> Paired | None:
    """Return the test over the seeds that both have; None where there are none."""
    seeds = [seed for seed in ones if seed in others]
    return paired_t([ones[s] for s in seeds], [others[s] for s in seeds]) if seeds else None


def difference(test: Paired, p: float | None) -> dict[str, Any]:
    """Return a test in JSON values, with its corrected p."""
    low, high = test.interval or (None, None)
    return {"mean": test.mean, "low": low, "high": high, "p": p, "pairs": test.pairs}
