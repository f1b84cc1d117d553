"""Seeds, controls and trials beside each other: spread, differences, tests."""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev

import numpy as np

from edgekd.core.artifact import Manifest
from edgekd.core.member import Member
from edgekd.core.quantity import Quantity
from edgekd.ops.paired import Paired, holm, paired_t
from edgekd.ops.statistics import mean_interval
from edgekd.report.schema.comparison import Arm, Comparison, SeedScore
from edgekd.report.words import plural

SIGNIFICANT = 0.05


def comparisons(
    stages: Mapping[str, Manifest], members: Mapping[str, Member], failed: Mapping[str, str]
) -> list[Comparison]:
    """Return a comparison of each group whose members were scored on the test split.

    `failed` says why members have no result.
    """
    found = []
    for group in dict.fromkeys(member.group for member in members.values()):
        own = {name: member for name, member in members.items() if member.group == group}
        measures = [stages[n].facts["measure"] for n in own if _is_scored(stages.get(n))]
        if measures and len(own) > 1:
            found.append(_comparison(group, measures[0], own, stages, failed))
    return found


def _is_scored(manifest: Manifest | None) -> bool:
    return manifest is not None and {"test", "measure"} <= manifest.facts.keys()


def _comparison(
    group: str,
    measure: str,
    members: Mapping[str, Member],
    stages: Mapping[str, Manifest],
    failed: Mapping[str, str],
) -> Comparison:
    scores: dict[str, list[SeedScore]] = {}
    for name, member in members.items():
        if _is_scored(stages.get(name)) or name in failed:
            scores.setdefault(member.arm, []).append(_score(name, stages.get(name), failed))
    first, *others = scores
    tests = {arm: paired_by_seed(scores[arm], scores[first]) for arm in others}
    ps = {arm: test.p for arm, test in tests.items() if test and test.p is not None}
    corrected = dict(zip(ps, holm([*ps.values()]), strict=True))
    arms = [
        _arm(members[own[0].stage], own, tests.get(arm), corrected.get(arm))
        for arm, own in scores.items()
    ]
    return Comparison(stage=group, measure=measure, tests=len(ps), arms=arms)


def _score(name: str, manifest: Manifest | None, failed: Mapping[str, str]) -> SeedScore:
    if manifest is None:
        return SeedScore(stage=name, seed=None, score=None, failure=failed[name])
    seed, score = manifest.identity["seed"], Quantity(**manifest.facts["test"])
    return SeedScore(stage=name, seed=seed, score=score)


def paired_by_seed(ones: Sequence[SeedScore], others: Sequence[SeedScore]) -> Paired | None:
    """Return the test over the seeds that both have; None where there are none."""
    left, right = by_seed(ones), by_seed(others)
    seeds = [seed for seed in left if seed in right]
    return paired_t([left[s] for s in seeds], [right[s] for s in seeds]) if seeds else None


def by_seed(scores: Sequence[SeedScore]) -> dict[int | None, float]:
    """Return the scores of the seeds that have one."""
    return {one.seed: one.score.value for one in scores if one.score}


def _arm(member: Member, scores: list[SeedScore], test: Paired | None, p: float | None) -> Arm:
    known = [one.score for one in scores if one.score]
    values = [score.value for score in known]
    unit = known[0].unit if known else ""
    apart = "share_difference" if unit == "share" else unit
    return Arm(
        name=member.arm,
        setting=member.setting,
        control=member.control,
        scores=scores,
        mean=_mean(values, unit) if values else None,
        deviation=Quantity(stdev(values), apart) if len(values) > 1 else None,
        difference=difference_of(test, apart) if test else None,
        p=p,
        words=words_of(test, apart, p) if values else "failed",
    )


def _mean(values: Sequence[float], unit: str) -> Quantity:
    low, high = mean_interval(np.array(values)) if len(values) > 1 else (None, None)
    if unit == "share" and low is not None and high is not None:
        low, high = max(0.0, low), min(1.0, high)
    return Quantity(mean(values), unit, low, high, len(values))


def difference_of(test: Paired, unit: str) -> Quantity:
    """Return the mean difference with its interval, where the pairs allow one."""
    low, high = test.interval or (None, None)
    return Quantity(test.mean, unit, low, high, test.pairs)


def words_of(test: Paired | None, unit: str, p: float | None) -> str:
    """Return what a comparison shows, and no more."""
    if test is None:
        return ""
    seeds = plural(test.pairs, "seed")
    if p is not None and p >= SIGNIFICANT:
        return f"no difference shown ({_p_text(p)}, {seeds})"
    side = "higher" if test.mean > 0 else "lower"
    change = f"{Quantity(abs(test.mean), unit)} {side}"
    if p is not None:
        return f"{change} ({_p_text(p)}, {seeds})"
    if test.pairs == 1:
        return f"{change if test.mean else 'the same'} with one seed, which tests nothing"
    return f"{change if test.mean else 'the same'} with each of {seeds}: nothing to test"


def _p_text(p: float) -> str:
    """Return `p = 0.15`, `p = 0.012` or `p < 0.001`."""
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.2f}" if p >= 0.095 else f"p = {p:.3f}"
