"""What to say of a device that refuses: the place, the cause, and the next step."""

from dataclasses import dataclass

from edgekd.core.errors import Problem, UnreachableError
from edgekd.devices.link.attendant import LOCK, QUEUE

FULL = ("no space left", "disk quota exceeded", "file too large")


@dataclass(frozen=True)
class Address:
    """Where a device is, as people are told."""

    name: str
    """As `ssh://pi@raspberrypi.local`."""
    shell: str
    """What opens a shell there, typed by hand: `ssh pi@raspberrypi.local`."""
    kind: str
    """Its transport, as in a target file."""
    folder: str
    """Where working folders are made."""
    home: str
    """A folder there that usually can be written to, for examples."""

    def __str__(self) -> str:
        return self.name

    def error(self, message: str, step: str) -> UnreachableError:
        """Return an error with the place."""
        return UnreachableError(str(Problem("", message, step, str(self))))

    def option(self, text: str) -> str:
        """Return how an option of the transport is written in a target file."""
        return f"transport: {{kind: {self.kind}, {text}}}."

    def refused(self, why: str, path: str | None = None) -> UnreachableError:
        """Return what to say of something that the device's system refuses."""
        where = f"{path}: " if path and path not in why else ""
        folder = self.option(f"folder: {self.home}")
        if any(text in why.lower() for text in FULL):
            step = f"Free some space there, or name another folder than {self.folder}: {folder}"
            return self.error(f"the device's disk is full: {where}{why}", step)
        if path and path.rpartition("/")[2] in (LOCK, QUEUE):
            return self.error(f"the device refuses: {where}{why}", to_have_lock(path))
        if "ermission denied" in why or "No such file" in why or "ead-only" in why:
            step = f"Name a folder that you can write to there: {folder}"
            return self.error(f"the device refuses: {where}{why}", step)
        return self.error(f"the device refuses: {where}{why}", f"Try it by hand: {self.shell}")

    def no_python(self, python: str) -> UnreachableError:
        """Return what to say of a device without the interpreter that is named."""
        named = self.option(f"python: {self.home}/venv/bin/python")
        step = (
            f"Install Python 3 there, or name the interpreter that has the runtimes: {named} "
            "A device that has none runs .pte programs alone: python: null, native: [executorch]."
        )
        return self.error(f"there is no '{python}' on the device.", step)


def to_have_lock(path: str) -> str:
    """Return what to do about a lock file that cannot be opened."""
    return f"Have its owner remove it, or let everybody read it: chmod a+r {path}"
