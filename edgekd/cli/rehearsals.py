"""What a rehearsal came to, as people and programs read it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

import edgekd
from edgekd.cli.printable import aligned
from edgekd.cli.terminal import duration, gate_lines, renderer, shown
from edgekd.pipeline.forecast import COSTS, as_document
from edgekd.pipeline.room import readable

HEADS = {
    "latency_p50_ms": "p50",
    "latency_p90_ms": "p90",
    "speedup": "speed-up",
    "size_mib": "size",
    "size_ratio": "smaller",
    "peak_rss_mib": "peak memory",
}


def rehearse_and_show(
    file: Path,
    sets: Sequence[str] | None,
    until: str | None,
    targets: Sequence[str] | None,
    store: Path,
    nproc: int,
    as_json: bool,
) -> int:
    """Rehearse, print what came of it, and return the exit code; as JSON it is one document."""
    with nullcontext() if as_json else renderer(as_json) as listener:
        found = edgekd.rehearse(
            file,
            sets=sets or (),
            until=until,
            targets=targets or (),
            store=store,
            nproc=nproc,
            listener=listener,
        )
    document = as_document(found)
    if as_json:
        typer.echo(json.dumps(document, indent=1))
    else:
        _print(document)
    return found.exit_code


def _print(document: Mapping[str, Any]) -> None:
    """Print what was measured of each program, the budgets, and what the run would take."""
    console = Console(markup=False, emoji=False, highlight=False, soft_wrap=True)
    for line in _lines(document):
        console.print(line)


def _lines(document: Mapping[str, Any]) -> Iterator[Any]:
    yield ""
    if document["measured"]:
        yield from _programs(document["measured"])
        yield ""
    if document["gates"]:
        yield from gate_lines(document["gates"])
        yield ""
    yield from _stages(document)
    yield from (f"  {stage} failed: {why}" for stage, why in document["failed"].items())
    yield ""
    yield document["says"]


def _programs(measured: list[Mapping[str, Any]]) -> Iterator[str]:
    """Yield one line per program and target."""
    rows = [["measured", "target", *(HEADS[name] for name in COSTS)]]
    for one in measured:
        values = (shown(one["quantities"].get(name)) or "-" for name in COSTS)
        rows.append([one["program"], one["target"], *values])
    yield from aligned(rows)
    yield from _notes(measured)
    for one in measured:
        if one["failure"]:
            yield f"  {_where(one)} {one['failure']}"


def _notes(measured: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what is to be minded, once, with the programs where it does not hold for all."""
    noted: dict[str, list[str]] = {}
    for one in measured:
        for note in one["notes"]:
            noted.setdefault(note, []).append(_where(one))
    for note, where in noted.items():
        yield f"  {note}" + ("" if len(where) == len(measured) else f" ({', '.join(where)})")


def _where(one: Mapping[str, Any]) -> str:
    return f"{one['program']} on {one['target']}"


def _stages(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield what each stage would take of the run, and all of them."""
    rows = [["the run", "time", "disk", "the time rests on"]]
    for part in document["stages"]:
        seconds, size = part["seconds"], part["disk_bytes"]
        if part["action"] == "keep":
            rows.append([part["stage"], "-", "-", "kept"])
            continue
        time = "?" if seconds is None else f"~{duration(seconds)}"
        disk = "?" if size is None else readable(size)
        rows.append([part["stage"], time, disk, part["rests_on"]])
    total = document["total"]
    most = f"at most {readable(total['most_disk_bytes'])} of disk at a time"
    time, disk = f"~{duration(total['seconds'])}", readable(total["disk_bytes"])
    yield from aligned([*rows, ["in all", time, disk, most]])
