"""Commands about this installation and its store."""

from typing import Annotated

import typer

from edgekd.cli.commands.options import RUNS, STORE, AsJson, RunsFolder, StoreFolder


def doctor(store: StoreFolder = STORE, as_json: AsJson = False) -> None:
    """Check this installation and say the cure of what is wrong."""
    from edgekd.cli.doctor import examine

    raise typer.Exit(examine(store, as_json))


def gc(
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="AGE", help="Results unused for so long: 30d, 12h."),
    ] = None,
    keep_size: Annotated[
        str | None,
        typer.Option(
            "--keep-size", metavar="SIZE", help="The longest unused, until no more is left: 5GiB."
        ),
    ] = None,
    unreferenced: Annotated[
        bool,
        typer.Option("--unreferenced", help="Results that no run has and no pipeline used last."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove; without it they are listed.")] = False,
    store: StoreFolder = STORE,
    runs: RunsFolder = RUNS,
    as_json: AsJson = False,
) -> None:
    """Remove results that are no longer wanted, and leftovers; each can be made anew."""
    from edgekd.cli.garbage import clean

    clean(
        store,
        runs,
        older_than=older_than,
        keep_size=keep_size,
        unreferenced=unreferenced,
        confirmed=yes,
        as_json=as_json,
    )
