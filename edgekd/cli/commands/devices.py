"""Commands about devices: what is known of them, and what runs there."""

from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli.commands.options import AsJson

targets_app = typer.Typer()
runner_app = typer.Typer()


@targets_app.callback(invoke_without_command=True)
def targets(context: typer.Context, as_json: AsJson = False) -> None:
    """List the devices that are described here and with edgekd, or check one."""
    from edgekd.cli.targets import print_targets

    if context.invoked_subcommand is None:
        print_targets(as_json)


@targets_app.command("check")
def check_target(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A target, by its file's name.")],
    as_json: AsJson = False,
) -> None:
    """Reach a device, say what it really is and what of its file is untrue."""
    from edgekd.cli.targets import check_target

    raise typer.Exit(check_target(name, as_json))


@runner_app.callback()
def runner() -> None:
    """Build the C++ runner of ExecuTorch programs, for devices without torch."""


@runner_app.command("build")
def build_runner(
    target: Annotated[
        str | None,
        typer.Option("--target", metavar="NAME", help="For this device; else for this machine."),
    ] = None,
    wheel: Annotated[
        Path | None,
        typer.Option(
            "--wheel",
            metavar="FILE",
            help="ExecuTorch's wheel for that machine; else pip fetches it where that is another.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Build the runner once for a kind of machine; it is kept for every measurement there."""
    from edgekd.cli.runner import build_for

    build_for(target, wheel, as_json)
