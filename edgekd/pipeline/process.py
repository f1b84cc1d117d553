"""What the parent needs of a worker process, wherever it runs: a part of `subprocess.Popen`."""

from collections.abc import Iterator
from typing import Protocol

CUSTOMS = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TRIM_THRESHOLD_": str(2**28),
}
"""What a worker's environment says where the user's does not.

A thread that spins while it waits takes the core that another one needs. Memory that glibc gives
back after every layer has to be had, and cleared, for the next: tensors below 32 MiB come from one
heap, of whose end 256 MiB may stay unused.
"""


class Input(Protocol):
    """Where requests go."""

    def write(self, text: str, /) -> object:
        """Take a part of a request."""

    def flush(self) -> None:
        """Pass on what was taken; BrokenPipeError where nobody reads it any more."""

    def close(self) -> None:
        """Say that there are no more."""


class Output(Protocol):
    """Where answers come from."""

    def __iter__(self) -> Iterator[str]:
        """Yield line after line until the process ends."""

    def close(self) -> None:
        """Listen no more."""


class Process(Protocol):
    """A worker process."""

    @property
    def stdin(self) -> Input | None:
        """Where requests go."""

    @property
    def stdout(self) -> Output | None:
        """Where answers come from."""

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit status; subprocess.TimeoutExpired where it runs on."""

    def send_signal(self, sig: int) -> None:
        """Send it a signal."""

    def kill(self) -> None:
        """End it now."""
