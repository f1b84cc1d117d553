"""The usual troubles of an installation, and their cures."""

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

import typer

from edgekd.cli.checks import imports, machine, packages, storage
from edgekd.cli.checks.finding import Finding, wrong

SIGNS = {"ok": "ok   ", "hint": "hint ", "wrong": "WRONG"}


def examine(store: Path, as_json: bool) -> int:
    """Print every finding; return 0 where everything works, else 2."""
    findings = look(checks(store))
    if as_json:
        rows = [asdict(finding) | {"ok": finding.ok} for finding in findings]
        typer.echo(json.dumps(rows, indent=1))
    else:
        for finding in findings:
            typer.echo(f"  {SIGNS[finding.level]}  {finding.what}: {finding.found}")
            if finding.cure:
                typer.echo(f"         {finding.cure}")
    return 0 if all(finding.ok for finding in findings) else 2


def checks(store: Path) -> list[Callable[[], Iterable[Finding]]]:
    """Return all that is looked at, in the order in which it is told."""
    return [
        packages.python,
        packages.versions,
        packages.clashes,
        imports.imports,
        storage.flatc,
        machine.memory,
        machine.processors,
        machine.governor,
        machine.swap,
        machine.clock,
        machine.encoding,
        machine.temporary,
        partial(storage.disk, store),
        partial(storage.writable, store),
        partial(storage.results, store),
    ]


def look(wanted: Iterable[Callable[[], Iterable[Finding]]]) -> list[Finding]:
    """Return what was found, looked for side by side: importing everything takes the longest."""
    with ThreadPoolExecutor() as pool:
        return [finding for found in pool.map(_findings, wanted) for finding in found]


def _findings(check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """Return a check's findings; one that fails is a finding too, and keeps no other from view."""
    try:
        return list(check())
    except Exception as error:  # a broken installation may break anything
        name = getattr(getattr(check, "func", check), "__name__", "check")
        return [wrong(name, f"{type(error).__name__}: {error}", "This could not be looked at.")]
