"""Devices: which are described, and what one really is."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgekd.cli.printable import printable
from edgekd.pipeline.targets import check_runners, check_transport, find_targets, read_target

if TYPE_CHECKING:
    from edgekd.devices.survey import Survey

WIDTH = 14


def print_targets(as_json: bool) -> None:
    """Print the devices that are described, and where."""
    known = find_targets(Path.cwd())
    found = {name: read_target(name, known) | {"file": str(known[name])} for name in known}
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    width = max(map(len, found), default=0)
    for name, target in found.items():
        way = target["transport"]["kind"]
        typer.echo(f"  {name:<{width}}  {way:<5}  {target['description']}  ({target['file']})")


def check_target(name: str, as_json: bool) -> int:
    """Print what a device really is; return 1 where its file says what is not true, else 0.

    UnreachableError where it does not answer.
    """
    from edgekd.core.refs import as_read
    from edgekd.devices.survey import survey
    from edgekd.devices.target import Target

    known = find_targets(Path.cwd())
    described = read_target(name, known)
    check_transport(described)
    check_runners(name, described)
    target = Target.model_validate(as_read(described))
    found = survey(target)
    if as_json:
        about = {"target": name, "file": str(known[name]), "true": not found.untrue}
        typer.echo(json.dumps(about | asdict(found), indent=1))
    else:
        typer.echo(f"{name}: {target.description} ({known[name]})")
        for line in _lines(found):
            typer.echo(printable(line))
    return 1 if found.untrue else 0


def _lines(found: "Survey") -> Iterator[str]:
    """Yield what was found, what is untrue and what is worth knowing."""
    for name, value in {**found.machine, **found.runtimes}.items():
        yield f"  {name.replace('_', ' '):<{WIDTH}}  {value}"
    for claim in found.untrue:
        yield f"  UNTRUE: {claim}"
    for note in found.notes:
        yield f"  note: {note}"
    if not found.untrue:
        yield "  what the file says of it is true"
