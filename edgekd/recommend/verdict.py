"""What a trial shows: what is recommended, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgekd.core.quantity import significant
from edgekd.ops.paired import Paired, holm, paired_t
from edgekd.recommend.candidates import Candidate

SHOWN = 0.05
Scores = Mapping[int, float]
"""By seed."""


@dataclass(frozen=True)
class Learned:
    """What a candidate came to in a round."""

    candidate: Candidate
    scores: Scores
    cpu_seconds: float
    """Of one training, on the mean."""
    failure: str = ""

    @property
    def mean(self) -> float:
        """The mean over the seeds; the least of all where it failed."""
        return sum(self.scores.values()) / len(self.scores) if self.scores else -float("inf")


@dataclass(frozen=True)
class Against:
    """A candidate beside another, over the seeds that both have."""

    test: Paired
    p: float | None
    """Corrected for all tests against the same one (Holm)."""

    @property
    def higher(self) -> bool:
        """Whether it is shown to be higher."""
        return self.p is not None and self.p < SHOWN and self.test.mean > 0


@dataclass(frozen=True)
class Verdict:
    """What is recommended."""

    taken: Learned
    why: str
    against: Mapping[str, Against]
    """Every other one that has scores against the first control, by its loss."""


def judge(learned: Sequence[Learned], unit: str) -> Verdict:
    """Return the simplest that nothing is shown to be better than.

    The controls come first, the simplest first. What is shown to be better than the first control
    is taken: the second control where it is among these and the best is not shown to be better
    than it, else the best by the mean.
    """
    known = [one for one in learned if one.scores]
    base, others = known[0], known[1:]
    against = _against(others, base)
    better = [one for one in others if against[one.candidate.words].higher]
    best = max(others, key=lambda one: one.mean, default=base)
    name = base.candidate.method
    if not better:
        return Verdict(base, _none_better(base, best, against, unit), against)
    best = max(better, key=lambda one: one.mean)
    gain = _words(against[best.candidate.words], unit)
    second = next((one for one in better if one.candidate.control), None)
    if second is not None and second is not best:
        beside = _against(better, second, but=second)[best.candidate.words]
        if not beside.higher:
            own = _words(against[second.candidate.words], unit)
            why = f"it is {own} than {name}, and nothing is shown to be better than it"
            return Verdict(second, why, against)
        gain += f" than {name}, and {_words(beside, unit)} than {second.candidate.method}"
        return Verdict(best, f"it is {gain}", against)
    return Verdict(best, f"it is {gain} than {name}", against)


def _against(
    ones: Sequence[Learned], base: Learned, but: Learned | None = None
) -> dict[str, Against]:
    tests = {}
    for one in ones:
        seeds = [seed for seed in one.scores if seed in base.scores]
        if one is not but and seeds:
            mine, theirs = [one.scores[s] for s in seeds], [base.scores[s] for s in seeds]
            tests[one.candidate.words] = paired_t(mine, theirs)
    ps = {words: test.p for words, test in tests.items() if test.p is not None}
    corrected = dict(zip(ps, holm([*ps.values()]), strict=True))
    return {words: Against(test, corrected.get(words)) for words, test in tests.items()}


def _none_better(base: Learned, best: Learned, against: Mapping[str, Against], unit: str) -> str:
    why = f"nothing is shown to be better than {base.candidate.method}"
    found = against.get(best.candidate.words)
    if found is None:
        return f"{why}: nothing else has a score"
    return f"{why}; the best by the mean, {best.candidate.words}, is {_words(found, unit)}"


def _words(found: Against, unit: str) -> str:
    """Return `0.42 points higher (p = 0.012)`."""
    factor, name = (100, "points") if unit == "share" else (1, unit)
    side = "higher" if found.test.mean > 0 else "lower"
    p = "not tested" if found.p is None else f"p = {significant(found.p, 2)}"
    return f"{significant(abs(found.test.mean) * factor, 2)} {name} {side} ({p})"
