"""Cleaning a store: first what would go, then, on request, its removal."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import typer

from edgekd.core.errors import Problem, RequestError
from edgekd.core.trouble import named_trouble
from edgekd.pipeline.garbage import Item, Rules, as_dict, find_garbage, remove
from edgekd.pipeline.records import RunFolders
from edgekd.pipeline.room import readable
from edgekd.pipeline.store import Store

SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
BYTES = {
    "": 1,
    "B": 1,
    **{f"{prefix}B": 10**power for prefix, power in zip("kMGT", (3, 6, 9, 12), strict=True)},
    **{f"{prefix}iB": 2**power for prefix, power in zip("KMGT", (10, 20, 30, 40), strict=True)},
}


def seconds(text: str) -> float:
    """Return an age such as `30d`, `12h` or `2w`; RequestError where it is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([mhdw])", text.strip())
    if found is None:
        raise _unread("--older-than", text, "an age", "30d, 12h, 2w or 90m")
    return float(found[1]) * SECONDS[found[2]]


def size(text: str) -> int:
    """Return a size such as `5GiB` or `500MB` in bytes; RequestError where it is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKMGT]?i?B?)", text.strip())
    if found is None or found[2] not in BYTES:
        raise _unread("--keep-size", text, "a size", "5GiB, 500MB or 0")
    return int(float(found[1]) * BYTES[found[2]])


def clean(
    store: Path,
    runs: Path,
    *,
    older_than: str | None,
    keep_size: str | None,
    unreferenced: bool,
    confirmed: bool,
    as_json: bool,
) -> None:
    """Print what may go and, where that is confirmed, remove it."""
    rules = Rules(
        older_than_s=None if older_than is None else seconds(older_than),
        keep_bytes=None if keep_size is None else size(keep_size),
        unreferenced=unreferenced,
    )
    if not (store / "results").is_dir():
        step = "Name it with --store."
        raise RequestError(Problem("", f"there is no store in {store}.", step, "--store"))
    there = Store(store.resolve())
    with named_trouble():
        if confirmed:
            there.prepare()
        items = find_garbage(there, RunFolders(runs), rules)
        gone = remove(there, items) if confirmed else []
    if as_json:
        rows = [as_dict(item) for item in items]
        removed = [str(item.path) for item in gone]
        typer.echo(json.dumps({"items": rows, "removed": removed}, indent=1))
        return
    if unreferenced and not runs.is_dir():
        typer.echo(f"There is no folder {runs}: only what pipelines used last counts as named.")
    _print(items)
    _sum_up(items, gone, confirmed)


def _print(items: Sequence[Item]) -> None:
    """Print a line per result, and one for each sort of leftovers."""
    results = [item for item in items if item.is_result]
    rows = [
        (
            item.stage or item.path.name,
            ", ".join(item.pipelines) or "-",
            f"{item.age_s / 86400:.0f} d",
            readable(item.size),
            item.why,
        )
        for item in results
    ]
    if rows:
        rows.insert(0, ("stage", "pipeline", "unused", "size", "why"))
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(5)]
    for row in rows:
        cells = [f"{c:<{w}}" for c, w in zip(row, widths, strict=True)]
        typer.echo("  " + "  ".join(cells).rstrip())
    rest = [item for item in items if not item.is_result]
    for what, why in dict.fromkeys((item.what, item.why) for item in rest):
        alike = [item for item in rest if (item.what, item.why) == (what, why)]
        total = readable(sum(item.size for item in alike))
        typer.echo(f"  {len(alike)} x {what}, {total}: {why}")


def _sum_up(items: Sequence[Item], gone: Sequence[Item], confirmed: bool) -> None:
    total = readable(sum(item.size for item in items))
    if not items:
        typer.echo("Nothing to remove.")
    elif not confirmed:
        typer.echo(f"{_things(items)}, {total}, may go. Nothing was removed: add --yes.")
    else:
        left = len(items) - len(gone)
        in_use = f" {left} stayed: a run is at work on them." if left else ""
        freed = readable(sum(item.size for item in gone))
        typer.echo(f"Removed {_things(gone)}, {freed}.{in_use}")


def _things(items: Sequence[Item]) -> str:
    return "1 thing" if len(items) == 1 else f"{len(items)} things"


def _unread(option: str, text: str, what: str, example: str) -> RequestError:
    return RequestError(Problem("", f"'{text}' is not {what}.", f"Write {example}.", option))
