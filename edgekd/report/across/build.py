"""Make the document of runs beside each other."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from string import ascii_uppercase

from edgekd.report.across.changes import changes
from edgekd.report.across.given import Given
from edgekd.report.across.places import SHOWN_DIFFERENT, only, places
from edgekd.report.across.schema import ComparedRun, Place, RunsCompared
from edgekd.report.across.seeded import seeded
from edgekd.report.schema.report import Report
from edgekd.report.words import SHOWN, label, listed

MOST = len(ascii_uppercase)
"""Runs that one comparison takes."""
FEW = 3
"""Programs on targets that a sentence names."""


def compare_runs(reports: Sequence[tuple[Path, Report]]) -> RunsCompared:
    """Return two to 26 runs, by folder and report, beside the first of them."""
    runs = [
        Given(letter, folder, report)
        for letter, (folder, report) in zip(ascii_uppercase, reports, strict=False)
    ]
    base, *others = runs
    found = places(runs)
    return RunsCompared(
        runs=[_run(run) for run in runs],
        sentences=[_sentence(other.letter, base.letter, found) for other in others],
        lost=list(_lost(runs, found)),
        changes=[changes(base, other) for other in others],
        places=found,
        only=list(only(runs)),
        seeded=seeded(runs),
    )


def _run(run: Given) -> ComparedRun:
    head, of = run.report.headline, run.report.provenance
    return ComparedRun(
        letter=run.letter,
        name=run.folder.name,
        verdict=head.verdict,
        words=head.words,
        sentence=head.sentence,
        command=of.command,
        edgekd=of.versions.get("edgekd", ""),
    )


def _sentence(run: str, base: str, found: Sequence[Place]) -> str:
    """Return what of quality and size clearly differs between a run and the base, of candidates."""
    both = [p for p in found if any(one.run == run for line in p.lines for one in line.seen)]
    if not both:
        return f"{run} against {base}: no program on a target that both measured."
    candidates = [place for place in both if place.role == "candidate"]
    told: dict[str, list[str]] = {}
    for place in candidates or both:
        for measure, words in _differing(run, place):
            who = told.setdefault(f"{label(measure)} {words}", [])
            who.append(f"{place.program} on {place.target}")
    if not told:
        return f"{run} against {base}: no difference shown in quality or size."
    said = [f"{what} for {_few(who)}" for what, who in told.items()]
    return f"{run} against {base}: {'; '.join(said)}."


def _few(names: list[str]) -> str:
    """Return names as a list of words, of many the first."""
    return listed(names if len(names) <= FEW else [*names[:FEW], f"{len(names) - FEW} more"])


def _differing(run: str, place: Place) -> Iterator[tuple[str, str]]:
    measures = {line.measure for line in place.lines}
    quality = next((name for name in SHOWN if name in measures), "")
    for line in place.lines:
        for difference in line.differences:
            told = difference.run == run and difference.shown in SHOWN_DIFFERENT
            if told and line.measure in (quality, "size_mib"):
                yield line.measure, difference.words


def _lost(runs: Sequence[Given], found: Sequence[Place]) -> Iterator[str]:
    """Yield the gates that the base keeps and another run does not, where both have them.

    One that is inconclusive is not lost where its own check lets it be.
    """
    base = runs[0]
    checks = {check.stage: check for check in base.report.checks}
    by_letter = {run.letter: run for run in runs}
    for place in found:
        for line in place.gates:
            first, *others = line.judged
            for one in others:
                check = by_letter[one.run].check(checks[place.check], base)
                lenient = check is not None and check.inconclusive_allowed
                allowed = one.verdict == "inconclusive" and lenient
                if first.verdict == "pass" and one.verdict not in ("pass", None) and not allowed:
                    yield (
                        f"{label(line.gate)} of {place.program} on {place.target}: "
                        f"{one.verdict} in {one.run}"
                    )
