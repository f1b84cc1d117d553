"""Runs beside each other as sections, before any format."""

from collections.abc import Iterator

from edgekd.report.across.differing import OTHER_EXAMPLES, is_score
from edgekd.report.across.schema import Change, Changes, Place, RunsCompared
from edgekd.report.across.tables import KINDS, brief, changes_table, measures_table
from edgekd.report.sections.parts import Part, Section
from edgekd.report.tables import Table, row_of
from edgekd.report.words import label, plural, value_text

TIMES = (
    "Times of two runs were taken at different moments, or on different machines. What else a "
    "machine did then can part their intervals, so neither a ratio nor a difference is shown. "
    "Measured in turns they can be compared, by the commands below."
)
SCORES = (
    "Accuracies over the same examples are compared answer by answer where the answers were kept "
    "(paired). Any other difference is that of two separate scores: over the same examples its "
    "interval is wider than need be."
)
MOST_PLACES = 100
"""What a page takes of a run over many programs and targets, those that differ first."""


def content(compared: RunsCompared) -> list[Section]:
    """Return the sections that there is something for, in the order that they are read."""
    made = (
        Section("outcome", "Outcome", list(_outcome(compared))),
        Section("seeds", "Seeds", list(_seeds(compared))),
        Section("changes", "What was different", list(_changed(compared))),
        Section("runs", "The runs, and how to repeat them", list(_runs(compared))),
    )
    return [section for section in made if section.parts]


def about(place: Place) -> str:
    """Return what must be known of a place before its numbers are compared."""
    examples = "scored on the same examples" if place.same_examples else f"scored {OTHER_EXAMPLES}"
    known = ["the same file, byte for byte"] if place.same_program else []
    scored = any(is_score(line.measure) for line in place.lines)
    return "; ".join([*known, *([examples] if scored else [])])


def changed_words(change: Change) -> str:
    """Return a change in words: `20 -> 30`; nothing for code."""
    if change.kind == "code":
        return ""
    return f"{brief(change.base)} -> {brief(change.other)}"


def _outcome(compared: RunsCompared) -> Iterator[Part]:
    """Yield how to read the numbers, then every program on every target."""
    scored = any(is_score(line.measure) for place in compared.places for line in place.lines)
    timed = any(place.in_turns for place in compared.places)
    said = [*compared.only, *([SCORES] if scored else []), *([TIMES] if timed else [])]
    if said:
        yield Part(lines=said)
    for place in compared.places[:MOST_PLACES]:
        noted = about(place)
        yield Part(
            f"{place.program} on {place.target}",
            lines=[f"{noted[0].upper()}{noted[1:]}."] if noted else [],
            tables=[measures_table(compared, place)],
            command=place.in_turns,
        )
    if (more := len(compared.places) - MOST_PLACES) > 0:
        yield Part(lines=[f"{plural(more, 'more program')} on a target: the JSON has all of them."])


def _seeds(compared: RunsCompared) -> Iterator[Part]:
    if not compared.seeded:
        return
    rows = [
        row_of(
            f"{one.stage}, {one.run} against {compared.runs[0].letter}",
            label(one.measure),
            value_text(one.base),
            value_text(one.other),
            str(one.difference),
            one.words,
        )
        for one in compared.seeded
    ]
    head = ("Stage", "Measure", "Mean of base", "Mean of other", "Difference", "Shown")
    said = "On the test split, over the seeds that both runs have: Student's paired t-test" + (
        ", corrected for all tests here (Holm)." if len(compared.seeded) > 1 else "."
    )
    yield Part(lines=[said], tables=[Table("Equal seeds", head, rows, (0, 1, 5))])


def _changed(compared: RunsCompared) -> Iterator[Part]:
    for one in compared.changes:
        title = f"{one.run} against {compared.runs[0].letter}"
        tables = [
            changes_table(kind, found)
            for kind in KINDS
            if (found := [change for change in one.changes if change.kind == kind])
        ]
        lines = list(stages_lines(one, compared.runs[0].letter))
        if not tables and not lines:
            lines = ["Nothing that a key covers is other."]
        yield Part(title, lines=lines, tables=tables)


def stages_lines(one: Changes, base: str) -> Iterator[str]:
    """Yield which stages one run alone has."""
    if one.only_base:
        yield f"Only in {base}: {', '.join(one.only_base)}."
    if one.only_other:
        yield f"Only in {one.run}: {', '.join(one.only_other)}."


def _runs(compared: RunsCompared) -> Iterator[Part]:
    for run in compared.runs:
        yield Part(f"{run.letter}: {run.name}", lines=[run.sentence], command=run.command)
