"""Arguments and options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

File = Annotated[Path, typer.Argument(metavar="FILE", help="A pipeline file.")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Override a value; may be repeated."),
]
Until = Annotated[
    str | None,
    typer.Option("--until", metavar="STAGE", help="Only this stage and what it rests on."),
]
Targets = Annotated[
    list[str] | None,
    typer.Option("--target", metavar="NAME", help="Measure on this device; may be repeated."),
]
Nproc = Annotated[
    int,
    typer.Option("--nproc", min=1, max=64, help="Processes that train together on this machine."),
]
StoreFolder = Annotated[
    Path, typer.Option("--store", metavar="DIR", help="Where stage results are kept.")
]
RunsFolder = Annotated[
    Path, typer.Option("--runs", metavar="DIR", help="Where reports and artifacts are left.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

STORE, RUNS = Path(".edgekd"), Path("runs")
