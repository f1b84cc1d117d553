"""`edgekd bisect`: the layers of a program beside those of its PyTorch model."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from edgekd.bisect.find import Wanted, find
from edgekd.cli.printable import printable
from edgekd.core.apart import ask
from edgekd.core.errors import EdgekdError
from edgekd.pipeline.store import Store


def bisect_program(artifact: Path, store: Path, samples: int, as_json: bool) -> int:
    """Print the layers of a program; return 1 where one departs, else 0."""
    wanted = find(artifact, Store(store.expanduser().absolute()))
    request = {"wanted": asdict(wanted), "samples": samples}
    answer = ask("edgekd.bisect.process", request, wanted.program)
    if "refused" in answer:
        raise _refusal(answer)
    if as_json:
        about = {"program": wanted.program, "stage": wanted.stage, "altered": wanted.altered}
        typer.echo(json.dumps(about | answer["found"], indent=1))
    else:
        _print(wanted, answer)
    return 1 if answer["found"]["departs"] else 0


def _print(wanted: Wanted, answer: dict[str, Any]) -> None:
    rows = answer["found"]["samples"]
    typer.echo(f"{wanted.program} beside PyTorch in fp32, {rows} samples\n")
    for line in answer["table"]:
        typer.echo(printable(line))
    typer.echo("")
    if wanted.altered:
        typer.echo(f"The file is not as stage {wanted.stage} made it: it was altered.")
    for line in answer["says"]:
        typer.echo(printable(line))


def _refusal(answer: dict[str, Any]) -> EdgekdError:
    """Return the error that the other process met."""
    error = EdgekdError(answer["refused"])
    error.exit_code = answer["exit_code"]
    return error
