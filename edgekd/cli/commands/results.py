"""Commands about what runs came to."""

from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli.commands.options import RUNS, AsJson, RunsFolder


def report(
    which: Annotated[
        str | None, typer.Argument(metavar="RUN", help="A run's folder or name; else the newest.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Write .html, .md, .json or .xml (JUnit) here."
        ),
    ] = None,
    runs: RunsFolder = RUNS,
) -> None:
    """Show a run's report, or write it to a file."""
    from edgekd.cli.runs import show_report

    show_report(which, out, runs)


def compare(
    which: Annotated[
        list[str],
        typer.Argument(metavar="RUN RUN [...]", help="Folders or names; the first is the base."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Also write .html, .md or .json here."),
    ] = None,
    runs: RunsFolder = RUNS,
    as_json: AsJson = False,
) -> None:
    """Say what runs were asked for and came to, beside the first of them."""
    from edgekd.cli.compare import compare_and_show

    raise typer.Exit(compare_and_show(which, out, runs, as_json))


def list_runs(runs: RunsFolder = RUNS, as_json: AsJson = False) -> None:
    """List finished runs with their verdicts."""
    from edgekd.cli.runs import print_runs

    print_runs(runs, as_json)
