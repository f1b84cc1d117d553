"""Programs on targets, in all runs: matched, and beside each other."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edgekd.core.artifact import digest_file
from edgekd.core.results import Gate
from edgekd.report.across.differing import differing, is_time
from edgekd.report.across.given import Found, Given, counterpart
from edgekd.report.across.schema import GateLine, Judged, Line, Place, Seen
from edgekd.report.tables import machine_of
from edgekd.report.words import LABELS

LESS_SHOWN = ("accuracy_drop", "recall_at_1_drop", "size_ratio", "latency_p95_ms", "latency_p99_ms")
"""Only where a gate names them: they say again what others say."""
READING = ("data/", "tasks/")
"""Rooms whose code decides which examples there are, and in which order."""
SHOWN_DIFFERENT = ("higher", "lower", "larger", "smaller")


def places(runs: Sequence[Given]) -> list[Place]:
    """Return every program and target that the base and another run have.

    Candidates first, of them those that differ.
    """
    base, *others = runs
    made = []
    for check in base.report.checks:
        for row in check.rows:
            first = Found(base, check, row)
            found = [first, *filter(None, (_again(first, other) for other in others))]
            if len(found) > 1:
                made.append(_place(found))
    return sorted(made, key=lambda place: (place.role != "candidate", not tells(place)))


def tells(place: Place) -> bool:
    """Tell whether a difference is shown, or a gate changed."""
    return any(gate.changed for gate in place.gates) or any(
        one.shown in SHOWN_DIFFERENT for line in place.lines for one in line.differences
    )


def only(runs: Sequence[Given]) -> Iterator[str]:
    """Yield in words what not all runs have."""
    base, *others = runs
    for other in others:
        for one, beside in ((base, other), (other, base)):
            for check in one.report.checks:
                names = [
                    f"{row.program} on {row.target}"
                    for row in check.rows
                    if _again(Found(one, check, row), beside) is None
                ]
                if names:
                    yield f"Not in {beside.letter}: {', '.join(names)} of {one.letter}."


def _again(base: Found, other: Given) -> Found | None:
    check = other.check(base.check, base.run)
    name = counterpart(base.row.program, base.check, check) if check else None
    row = other.rows.get((check.stage, name, base.row.target)) if check and name else None
    return Found(other, check, row) if check and row else None


def _place(found: Sequence[Found]) -> Place:
    base, *others = found
    same = all(_examples(one) == _examples(base) for one in others)
    return Place(
        check=base.check.stage,
        program=base.row.program,
        role=base.step.role,
        target=base.row.target,
        lines=[_line(name, found) for name in _measures(found)],
        gates=list(_gates(found)),
        same_program=all(one.step.digest == base.step.digest for one in others),
        same_examples=same,
        in_turns=_in_turns(base, others),
    )


def _examples(of: Found) -> tuple[Any, ...]:
    """Return what tells the examples of a check from others: how it was trained does not."""
    stage = of.run.stage(of.check.stage)
    known = stage.identity if stage else {}
    task, code = (known.get(name) or {} for name in ("task", "code"))
    asked = {name: value for name, value in task.items() if not name.startswith("train_")}
    reads = {
        name: digest  # a user's own files have no room
        for name, digest in code.items()
        if "/" not in name or name.startswith(READING)
    }
    return (of.check.split, of.check.examples, known.get("files"), asked, reads)


def _measures(found: Sequence[Found]) -> list[str]:
    named = {gate.name for one in found for gate in _gates_of(one)}
    have = [name for one in found for name in one.row.quantities]
    order = [name for name in LABELS if name in have]
    order += [name for name in dict.fromkeys(have) if name in named and name not in order]
    return [name for name in order if name in named or name not in LESS_SHOWN]


def _line(name: str, found: Sequence[Found]) -> Line:
    base, *others = found
    return Line(
        measure=name,
        seen=[
            Seen(
                run=one.run.letter,
                program=one.row.program,
                measured=one.row.quantities.get(name),
                marks=_marks(name, one),
            )
            for one in found
        ],
        differences=[
            differing(name, base, one, same_examples=_examples(one) == _examples(base))
            for one in others
        ],
    )


def _marks(name: str, of: Found) -> list[str]:
    if of.row.failure:
        return ["failed"]
    machine = machine_of(of.check, of.row.target)
    if not is_time(name) or machine is None:
        return []
    return [*machine.marks, *([] if of.row.valid else ["invalid"])]


def _gates_of(of: Found) -> Sequence[Gate]:
    return of.run.gates.get((of.check.stage, of.row.program, of.row.target), ())


def _gates(found: Sequence[Found]) -> Iterator[GateLine]:
    """Yield the gates by name; of several limits of one name, those in one place stand together."""
    by_run = [list(_numbered(_gates_of(one))) for one in found]
    for name in dict.fromkeys(key for gates in by_run for key, _ in gates):
        judged = []
        for one, gates in zip(found, by_run, strict=True):
            gate = dict(gates).get(name)
            about = gate.model_dump(include={"limit", "verdict", "measured"}) if gate else {}
            judged.append(Judged(run=one.run.letter, **about))
        kinds = {(one.limit, one.verdict) for one in judged}
        yield GateLine(gate=name[0], judged=judged, changed=len(kinds) > 1)


def _numbered(gates: Sequence[Gate]) -> Iterator[tuple[tuple[str, int], Gate]]:
    seen: dict[str, int] = {}
    for gate in gates:
        seen[gate.name] = seen.get(gate.name, 0) + 1
        yield (gate.name, seen[gate.name]), gate


def _in_turns(base: Found, others: Sequence[Found]) -> str:
    """Return the command that measures the last run's candidate and the base's in turns."""
    machine = machine_of(base.check, base.row.target)
    if not any(name.startswith("latency_") for name in base.row.quantities):
        return ""
    if machine is None or machine.emulated or base.step.role != "candidate":
        return ""
    new, old = (_file(one) or word for one, word in ((others[-1], "NEW"), (base, "OLD")))
    return shlex.join(["edgekd", "bench", new, "--against", old, "--target", base.row.target])


def _file(of: Found) -> str:
    """Return where the program that was measured lies; empty where it does not any more."""
    named = shlex.split(of.run.report.provenance.command)
    paths = [of.run.folder / of.step.file, *map(Path, named[2:3])]  # edgekd bench MODEL
    found = (p for p in paths if p.is_file() and digest_file(p) == of.step.digest)
    return str(next(found, ""))
