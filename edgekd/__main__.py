"""The command `edgekd`."""

import signal
import sys
from types import FrameType
from typing import NoReturn

import typer

from edgekd.cli.app import app
from edgekd.core.errors import EdgekdError


def main() -> None:
    """Run the command line; a user's error is a message and an exit code, never a traceback."""
    signal.signal(signal.SIGTERM, _interrupt)  # preemption ends a run as Ctrl-C does
    try:
        app(standalone_mode=False)
    except EdgekdError as error:
        typer.echo(str(error), err=True)
        sys.exit(error.exit_code)
    except typer.Exit as end:
        sys.exit(end.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output went away
        sys.stderr.close()
        sys.exit(0)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
