"""What runs on a node of a Ray cluster: it starts the worker process and passes its lines on.

Ray carries this file to the node as it is. It imports the standard library alone, so that a node
without edgekd can still say so.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import IO, Any

SECONDS_TO_PROVE = 120
LONGEST_COMPLAINT = 500


def examine(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a node sees: a token in the store, sizes by path, its edgekd and libraries."""
    command = [sys.executable, "-P", "-m", "edgekd.pipeline.proof", *asked["distributions"]]
    try:
        said = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS_TO_PROVE, check=False
        )
        proof, complaint = said.stdout, said.stderr[-LONGEST_COMPLAINT:].strip()
    except (OSError, subprocess.SubprocessError) as error:
        proof, complaint = "", str(error)
    return {
        "node": socket.gethostname(),
        "python": sys.executable,
        "token": _token(Path(asked["token"])),
        "sizes": {path: size_of(path) for path in asked["paths"]},
        "proof": proof,
        "complaint": complaint,
    }


def _token(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError:
        return ""


def size_of(path: str) -> int | None:
    """Return the size of a file, 0 for a folder; None where there is neither."""
    try:
        return 0 if Path(path).is_dir() else Path(path).stat().st_size
    except OSError:
        return None


def sizes_in(folder: str) -> dict[str, int]:
    """Return the size of every file in a folder, by relative name."""
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.stat().st_size for path in files}


class Outpost:
    """Holds one worker process on its node; `customs`: see `pipeline.process`."""

    def __init__(self, log: str, folder: str, customs: Mapping[str, str]):
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._over = False
        self._started = Event()
        self._process: subprocess.Popen[str] | None = None
        self._failed: OSError | None = None
        Thread(target=self._attend, args=(log, folder, customs), daemon=True).start()
        self._started.wait()
        if self._failed:
            raise self._failed

    def place(self) -> tuple[str, str]:
        """Return the id and the host name of the node."""
        import ray

        return ray.get_runtime_context().get_node_id(), socket.gethostname()

    def examine(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return what this node sees."""
        return examine(asked)

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the size of every file in a folder, by relative name."""
        return sizes_in(folder)

    def write(self, text: str) -> bool:
        """Pass on a request; False where nobody reads it any more."""
        stdin = self._stdin()
        try:
            stdin.write(text)
            stdin.flush()
        except (BrokenPipeError, ValueError):
            return False
        return True

    def read(self) -> Sequence[str]:
        """Return the lines that came since, at least one; none where the process has ended."""
        lines: list[str] = []
        while not self._over and not (lines and self._lines.empty()):
            try:
                line = self._lines.get(timeout=1)
            except Empty:
                continue
            self._over = line is None
            lines += [line] if line is not None else []
        return lines

    def close_input(self) -> None:
        """Say that there are no more requests."""
        try:
            self._stdin().close()
        except BrokenPipeError:
            return

    def wait(self, seconds: float | None) -> int | None:
        """Return the exit status; None where the process runs on."""
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        """Send the process a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def _stdin(self) -> IO[str]:
        assert self._process is not None
        assert self._process.stdin is not None
        return self._process.stdin

    def _attend(self, log: str, folder: str, customs: Mapping[str, str]) -> None:
        """Start the process and take its lines until it ends.

        One thread for both: the system ends a worker with the thread that started it, so that it
        does not outlive this actor.
        """
        # Ray blocks SIGINT in all that it starts; the worker is asked to end by it.
        blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        try:
            with Path(log).open("ab") as file:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "edgekd.pipeline.worker"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=file,
                    text=True,
                    encoding="utf-8",
                    cwd=folder,
                    env={**customs, **os.environ, "PYTHONUNBUFFERED": "1"},
                    start_new_session=True,
                )
        except OSError as error:
            self._failed = error
            return
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            self._started.set()
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)
        self._process.wait()
