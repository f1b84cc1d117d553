"""`edgekd compare`: runs beside each other, on a terminal of 80 columns or as a file."""

import shutil
import textwrap
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import typer

from edgekd.cli.printable import printable
from edgekd.cli.runs import check_format, run_folder, write_out
from edgekd.core.errors import Problem, RequestError
from edgekd.report.across.build import MOST, compare_runs
from edgekd.report.across.content import (
    SCORES,
    TIMES,
    about,
    changed_words,
    stages_lines,
)
from edgekd.report.across.differing import is_score
from edgekd.report.across.places import SHOWN_DIFFERENT
from edgekd.report.across.schema import Changes, GateLine, Judged, Line, Place, RunsCompared
from edgekd.report.across.tables import KINDS, limit_of, seen_cell, where
from edgekd.report.read import read_report
from edgekd.report.words import SHOWN, SIGNS, label, scores_of

FORMATS = (".html", ".md", ".json")
WIDTH, MOST_SHOWN = 80, 20
INDENT = "  "
MEASURES = (
    *(name for quality in SHOWN for name in scores_of(quality)),
    "latency_p50_ms",
    "latency_p90_ms",
    "peak_rss_mib",
    "size_mib",
    "speedup",
)
"""What a terminal shows of each candidate."""


def compare_and_show(which: Sequence[str], out: Path | None, root: Path, as_json: bool) -> int:
    """Print runs beside the first of them; 1 where a gate that it keeps is kept no more, else 0."""
    if out is not None:
        check_format(out, FORMATS)
    folders = _folders(which, root)
    compared = compare_runs([(folder, read_report(folder)) for folder in folders])
    if as_json:
        typer.echo(compared.model_dump_json(indent=1))
    else:
        width = max(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)
        for line in _lines(compared, width):
            typer.echo(printable(line))
    if out is not None:
        write_out(out, _as_file(compared, out.suffix))
        if not as_json:
            typer.echo(str(out))
    return 1 if compared.lost else 0


def _folders(which: Sequence[str], root: Path) -> list[Path]:
    """Return the runs' folders; RequestError where there are too few, too many, or one twice."""
    if not 2 <= len(which) <= MOST:
        message = f"compare takes 2 to {MOST} runs, and was given {len(which)}."
        raise RequestError(Problem("", message, "edgekd runs lists them."))
    folders = [run_folder(one, root) for one in which]
    seen: dict[Path, str] = {}
    for one, folder in zip(which, folders, strict=True):
        place = folder.resolve()
        if place in seen:
            message = f"'{one}' is the same run as '{seen[place]}'."
            step = "A run whose results are those of an earlier one is left in its folder."
            raise RequestError(Problem("", message, step))
        seen[place] = one
    return folders


def _as_file(compared: RunsCompared, suffix: str) -> str:
    from edgekd.report.across.formats import runs_html, runs_markdown

    if suffix == ".json":
        return compared.model_dump_json(indent=1) + "\n"
    return runs_html(compared) if suffix == ".html" else runs_markdown(compared)


def _lines(compared: RunsCompared, width: int) -> Iterator[str]:
    for number, run in enumerate(compared.runs):
        base = " (base)" if number == 0 else ""
        yield from _wrapped(f"{run.letter}  ", f"{run.name}{base}: {run.words}", width)
    for one in compared.changes:
        yield ""
        yield from _changes(one, compared.runs[0].letter, width)
    in_sight = _in_sight(compared)
    for place in in_sight[:MOST_SHOWN]:
        yield ""
        yield from _place(place, width)
    if len(in_sight) > MOST_SHOWN:
        yield f"And {len(in_sight) - MOST_SHOWN} more; -o FILE.json has them all."
    for line in compared.only:
        yield from _wrapped("", line, width)
    yield from _seeds(compared, width)
    yield ""
    yield from _remarks(compared, width)
    for line in compared.sentences:
        yield from _wrapped("", line, width)
    for line in compared.lost:
        said = f"kept in {compared.runs[0].letter} and no more: {line}"
        yield from _wrapped(f"{SIGNS['fail']} ", said, width)


def _in_sight(compared: RunsCompared) -> list[Place]:
    """Return the candidates; files have all programs, and all that was measured of them."""
    candidates = [place for place in compared.places if place.role == "candidate"]
    return candidates or compared.places


def _matters(line: Line, gates: Collection[str]) -> bool:
    """Tell whether a measure is shown here: one that people ask for first, or that differs."""
    telling = any(one.shown in SHOWN_DIFFERENT for one in line.differences)
    return line.measure in MEASURES or line.measure in gates or telling


def _changes(one: Changes, base: str, width: int) -> Iterator[str]:
    """Yield what is other in a run, by kind; code on one line."""
    if not (one.changes or one.only_base or one.only_other):
        yield f"{one.run} was asked for and made with what {base} was."
        return
    yield f"In {one.run}, not as in {base}"
    for line in stages_lines(one, base):
        yield from _wrapped(INDENT, line, width)
    for kind, title in KINDS.items():
        found = [change for change in one.changes if change.kind == kind]
        if kind == "code" and found:
            named = ", ".join(change.path for change in found)
            yield from _wrapped(f"{INDENT}{title:<15}", named, width)
            continue
        for number, change in enumerate(found):
            head = title if number == 0 else ""
            said = f"{change.path}: {changed_words(change)} ({where(change)})"
            yield from _wrapped(f"{INDENT}{head:<15}", said, width)


def _place(place: Place, width: int) -> Iterator[str]:
    known = about(place)
    yield from _wrapped("", f"{place.program} on {place.target}{known and f': {known}'}", width)
    gates = {gate.gate for gate in place.gates}
    lines = [line for line in place.lines if _matters(line, gates)]
    left = max((len(label(line.measure)) for line in lines), default=0)
    for line in lines:
        yield from _measure(line, left, width)
    for gate in place.gates:
        yield from _gate(gate, width)


def _measure(line: Line, left: int, width: int) -> Iterator[str]:
    """Yield a line for each run: its number, and what it shows beside the base's."""
    against = {one.run: one.words for one in line.differences}
    cells = {one.run: str(seen_cell(one)) for one in line.seen}
    middle = max(map(len, cells.values()))
    for number, (run, cell) in enumerate(cells.items()):
        head = label(line.measure) if number == 0 else ""
        start = f"{INDENT}{head:<{left}}  {run}  "
        words = against.get(run, "")
        if len(start) + middle + 2 + len(words) <= width:
            yield f"{start}{cell:<{middle}}  {words}".rstrip()
        else:
            yield f"{start}{cell}"
            yield from _wrapped(" " * len(start), words, width)


def _gate(gate: GateLine, width: int) -> Iterator[str]:
    said = "; ".join(f"{one.run} {_judged(one)}" for one in gate.judged)
    changed = "changed" if gate.changed else "as before"
    yield from _wrapped(f"{INDENT}gate  ", f"{label(gate.gate)} {changed}: {said}", width)


def _judged(one: Judged) -> str:
    if one.verdict is None:
        return "has none"
    return f"{SIGNS[one.verdict]} {one.verdict} ({limit_of(one)})"


def _seeds(compared: RunsCompared, width: int) -> Iterator[str]:
    for number, one in enumerate(compared.seeded):
        if number == 0:
            yield ""
            yield "Equal seeds, on the test split"
        said = f"{one.stage}, {label(one.measure)}: {one.words}; {one.difference}"
        yield from _wrapped(f"{INDENT}{one.run}  ", said, width)


def _remarks(compared: RunsCompared, width: int) -> Iterator[str]:
    """Yield how numbers of two runs may be read."""
    in_sight = _in_sight(compared)[:MOST_SHOWN]
    timed = [place.in_turns for place in in_sight if place.in_turns]
    if any(is_score(line.measure) for place in compared.places for line in place.lines):
        yield from _wrapped("", SCORES, width)
    if timed:
        yield from _wrapped("", TIMES, width)
        yield from (f"{INDENT}{command}" for command in dict.fromkeys(timed))


def _wrapped(start: str, text: str, width: int) -> Iterator[str]:
    """Yield text after a start, further lines below where it began."""
    room = max(20, width - len(start))
    for number, line in enumerate(textwrap.wrap(text, room, break_on_hyphens=False)):
        yield (start if number == 0 else " " * len(start)) + line
