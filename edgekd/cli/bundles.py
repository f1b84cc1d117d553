"""Finished runs in one file: writing one, and running one again."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from edgekd.cli.printable import printable
from edgekd.core.errors import EdgekdError, Problem, RequestError

if TYPE_CHECKING:
    from edgekd.bundle.document import Bundle
    from edgekd.bundle.environment import Environment
    from edgekd.bundle.measured import Row
    from edgekd.bundle.replay import Replay
    from edgekd.pipeline.outcome import RunResult


@contextmanager
def bundle_asked(out: Path | None) -> Iterator[None]:
    """Refuse a place that cannot be written before the run; say it where none comes of the run."""
    if out is None:
        yield
        return
    from edgekd.bundle.archive import check_writable

    check_writable(out)
    try:
        yield
    except EdgekdError:
        typer.echo(f"No bundle was written to {out}: the run did not end.", err=True)
        raise


def leave_bundle(out: Path, result: "RunResult", until: str | None, as_json: bool) -> None:
    """Write a run's bundle and say where it is."""
    from edgekd.bundle.write import write_bundle

    document = write_bundle(out, result, until)
    size = out.stat().st_size
    if as_json:
        about = {"file": str(out.absolute()), "size": size, "members": len(document.members) + 1}
        typer.echo(json.dumps({"event": "bundle_written"} | about))
    else:
        typer.echo(f"  bundle     {out.absolute()}  {size / 2**20:.2f} MiB")


def replay_bundle(
    file: Path,
    *,
    store: Path | None,
    runs: Path | None,
    data: Sequence[str],
    trust_plugins: bool,
    as_json: bool,
) -> int:
    """Run a bundle again, print what is other and how the results compare; return the exit code."""
    from edgekd.bundle.replay import Places, replay
    from edgekd.cli.terminal import renderer

    say = _say_json if as_json else _say_environment
    with renderer(as_json) as listener:
        found = replay(
            file,
            places=Places(_absolute(store), _absolute(runs)),
            moved=dict(_moved(one) for one in data),
            trust_plugins=trust_plugins,
            listener=listener,
            tell=say,
        )
    (_print_json if as_json else _print)(found)
    return found.exit_code


def _absolute(path: Path | None) -> Path | None:
    return path.expanduser().absolute() if path else None


def _moved(option: str) -> tuple[str, str]:
    old, equals, new = option.partition("=")
    if not (old and equals and new):
        step = "As in: --data /data/pictures=~/pictures"
        raise RequestError(Problem("", f"'{option}' is not OLD=NEW.", step, "--data"))
    return old, new


def _say_environment(bundle: "Bundle", environment: "Environment") -> None:
    """Print what is other here, line by line."""
    made = f"{bundle.request.pipeline}, {bundle.created_at}, edgekd {bundle.edgekd}"
    typer.echo(printable(f"bundle of {made}: {bundle.request.command}"))
    if not environment.differences:
        typer.echo("Nothing that shapes a result is other here.\n")
        return
    typer.echo("Other here than where it was made:")
    for one in environment.differences:
        typer.echo(printable(f"  {one}"))
        if one.step:
            typer.echo(printable(f"    {one.step}"))
    typer.echo("")


def _say_json(bundle: "Bundle", environment: "Environment") -> None:
    about: dict[str, Any] = {
        "event": "replay_environment",
        "bundle": bundle.request.pipeline,
        "created_at": bundle.created_at,
        "differences": [asdict(one) for one in environment.differences],
        "not_promised": dict(environment.reasons),
    }
    typer.echo(json.dumps(about))


def _print(found: "Replay") -> None:
    """Print one aligned line per stage, metric and gate, and what it comes to."""
    head = ("", "stage", "what", "then", "now", "")
    cells = [head, *(_cells(row) for row in found.rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head) - 1)]
    typer.echo("")
    for row in cells:
        padded = "  ".join(f"{cell:<{w}}" for cell, w in zip(row[:-1], widths, strict=True))
        typer.echo(f"  {padded}  {row[-1]}".rstrip())
    typer.echo(f"\n{printable(found.sentence)}")


def _cells(row: "Row") -> tuple[str, ...]:
    verdict = f"{'BROKEN: ' if row.broken else ''}{row.status}"
    verdict += f" ({row.note})" if row.note else ""
    parts = (row.kind, row.stage, row.what, row.then, row.now, verdict)
    return tuple(map(printable, parts))


def _print_json(found: "Replay") -> None:
    about = {
        "event": "replay_done",
        "exit_code": found.exit_code,
        "sentence": found.sentence,
        "rows": [asdict(row) for row in found.rows],
    }
    typer.echo(json.dumps(about))
