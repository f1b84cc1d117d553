"""The machine that edgekd runs on: a folder for each use, and commands in a bare environment."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from edgekd.core.config import Config, Positive
from edgekd.core.kinds import transport
from edgekd.devices import tether
from edgekd.devices.commands import failed, shown, too_long
from edgekd.devices.link.attendant import KEPT, PREFIX, sweep
from edgekd.devices.turn import Told, turn, unheard

TETHERED = (sys.executable, "-I", "-S", tether.__file__)


class Local(Config):
    """How commands run on this machine."""

    timeout_s: Positive = 7200
    """Longest time that one command may take, in seconds."""
    alone: bool = True
    """Whether commands here wait for each other, those of other runs too."""
    busy_s: Positive = 21600
    """How long to wait for others that measure on this machine, in seconds: other runs, and other
    targets of this one, of which each may take `timeout_s` at a time."""


@transport(config=Local)
class LocalTransport:
    """A working folder of this machine, removed with the object or with this process."""

    python = sys.executable
    """The interpreter that runs programs there."""

    def __init__(self, config: Local, place: Path | None = None):
        """Make the folder, in the system's for such where no `place` is given."""
        self.config = config
        self.told: Told = unheard
        place = place or Path(tempfile.gettempdir())
        sweep(place)
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        held = os.open(self.folder, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)
        weakref.finalize(self, os.close, held)
        keeper = subprocess.Popen(
            [*TETHERED, str(self.folder)], stdin=subprocess.PIPE, start_new_session=True
        )
        weakref.finalize(self, _let_go, keeper)

    def push(self, local: Path) -> str:
        """Copy a file or folder into the working folder; return its path there."""
        there = self.folder / local.name
        if local.is_dir():
            shutil.copytree(local, there, dirs_exist_ok=True)
        else:
            shutil.copyfile(local, there)
        return str(there)

    def pull(self, remote: str, local: Path) -> None:
        """Copy a file or folder back."""
        if Path(remote).is_dir():
            shutil.copytree(remote, local, dirs_exist_ok=True)
        else:
            shutil.copyfile(remote, local)

    def run(self, command: Sequence[str]) -> str:
        """Return what the command printed; StageError where it fails or takes too long.

        Neither it nor what it starts outlives this process, whichever way that ends.
        UnreachableError where another run has the machine for longer than `busy_s`.
        """
        with turn(self.config.busy_s, self.told) if self.config.alone else nullcontext():
            return self._run(command)

    def _run(self, command: Sequence[str]) -> str:
        there, here = os.pipe()  # the tether sees its end closed when we are gone
        with (
            os.fdopen(here, "wb"),
            subprocess.Popen(
                [*TETHERED, str(self.folder), *command],
                cwd=self.folder,
                env={name: os.environ[name] for name in KEPT if name in os.environ},
                stdin=there,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            ) as process,
        ):
            os.close(there)
            try:
                out, errors = process.communicate(timeout=self.config.timeout_s)
            except subprocess.TimeoutExpired as error:
                raise too_long(shown(command), self.config.timeout_s) from error
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
        if process.returncode:
            wrote = errors.decode("utf-8", "replace")
            raise failed(shown(command), process.returncode, wrote)
        return out.decode("utf-8")


def _let_go(keeper: "subprocess.Popen[bytes]") -> None:
    """Have the folder removed, and wait until it is."""
    assert keeper.stdin is not None
    keeper.stdin.close()
    keeper.wait()
