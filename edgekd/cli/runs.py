"""Finished runs: the list, and one run's report."""

import json
import os
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path

import typer

from edgekd.core.errors import Problem, RequestError, nearest
from edgekd.pipeline.records import RunFolders

REPORTS = {
    ".html": "report.html",
    ".md": "report.md",
    ".json": "report.json",
    ".xml": "report.xml",
}


def print_runs(root: Path, as_json: bool) -> None:
    """Print one line per run, the newest last."""
    records = list(RunFolders(root).records())
    if as_json:
        rows = [{"folder": str(folder)} | asdict(record) for folder, record in records]
        typer.echo(json.dumps(rows, indent=1))
        return
    if not records:
        typer.echo(f"No run is recorded in {root}. Start one: edgekd run FILE")
    for folder, record in records:
        passed = sum(gate["verdict"] == "pass" for gate in record.gates)
        verdict = "kept" if record.exit_code == 0 else "NOT KEPT"
        gates = f"{verdict}, {passed} of {len(record.gates)} gates" if record.gates else "no gates"
        when = record.finished_at[:16].replace("T", " ")
        typer.echo(f"{folder.name}  {when}  {gates}  {record.command}")


def show_report(which: str | None, out: Path | None, root: Path, *, quiet: bool = False) -> None:
    """Print a run's report, or write it to `out` in the format of its ending; then say where."""
    folder = run_folder(which, root)
    if out is None:
        typer.echo(_read(folder, "report.md"))
        typer.echo(f"{folder / 'report.html'}")
        return
    check_format(out)
    write_out(out, _read(folder, REPORTS[out.suffix]))
    if not quiet:
        typer.echo(str(out))


def write_out(out: Path, text: str) -> None:
    """Write the file that was asked for; RequestError where that is not possible."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, "utf-8")
    except OSError as error:
        raise RequestError(
            Problem("", f"{out} cannot be written: {error.strerror}.", "", "--output")
        ) from error


def check_format(out: Path, formats: Collection[str] = tuple(REPORTS)) -> None:
    """Refuse a file whose ending is no format of reports."""
    if out.suffix not in formats:
        raise RequestError(
            Problem(
                "",
                f"'{out.suffix}' is no format of reports.",
                f"Use one of {', '.join(formats)}.",
                "--output",
            )
        )


def check_place(out: Path) -> None:
    """Refuse a file that could not be written in the end: before anything is measured."""
    there = next(folder for folder in out.absolute().parents if folder.exists())
    trouble = ""
    if out.is_dir():
        trouble = "it is a folder"
    elif not there.is_dir():
        trouble = f"{there} is no folder"
    elif not os.access(out if out.exists() else there, os.W_OK):
        trouble = "permission denied"
    if trouble:
        message = f"{out} cannot be written: {trouble}."
        raise RequestError(Problem("", message, "Give another file.", "--output"))


def run_folder(which: str | None, root: Path) -> Path:
    """Return a run's folder by its path or name, the newest without; RequestError if none."""
    folders = [folder for folder, _ in RunFolders(root).records()]
    if which is None and folders:
        return folders[-1]
    if which is not None and Path(which).is_dir():
        return Path(which)
    named = [folder for folder in folders if folder.name == which]
    if not named:
        wanted = f"no run is named '{which}'." if which else f"no run is recorded in {root}."
        raise RequestError(Problem("", wanted, nearest(which or "", [f.name for f in folders])))
    return named[0]


def _read(folder: Path, name: str) -> str:
    try:
        return (folder / name).read_text("utf-8")
    except OSError as error:
        step = "Its pipeline has no report stage that was run."
        if any((folder / other).is_file() for other in REPORTS.values()):
            step = "An earlier edgekd made its report. Run it again for this form, too."
        raise RequestError(Problem("", f"{folder} has no {name}.", step)) from error
