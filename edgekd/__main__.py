"""The command `edgekd`."""

import signal
import sys
from types import FrameType
from typing import NoReturn

import typer

from edgekd.cli.app import app
from edgekd.cli.printable import printable
from edgekd.core.errors import EdgekdError, RunInterruptedError


def main() -> None:
    """Run the command line; a user's error is a message and an exit code, never a traceback."""
    for number in (signal.SIGINT, signal.SIGTERM):  # preemption ends a run as Ctrl-C does
        signal.signal(number, _interrupt)
    try:
        app()
    except EdgekdError as error:
        typer.echo(printable(str(error) or "Interrupted."), err=True)
        sys.exit(error.exit_code)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise RunInterruptedError("")


if __name__ == "__main__":
    main()
