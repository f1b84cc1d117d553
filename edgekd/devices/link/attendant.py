"""What a transport has running on a device: it minds the working folder and runs commands.

    python3 -I -S attendant.py FOLDER SILENCE_S LINGER_S

Requests come as JSON lines, and so do the answers, one to each; an empty line only says that the
other side is there, and is answered by one. Where the input ends, or nothing comes for SILENCE_S
seconds, the command and all of its process group are killed and the device is free for others; the
folder stays LINGER_S seconds for a run whose link was cut and that comes back. A new attendant of
the folder ends the one before. Needs nothing but the standard library, and sleeps while a command
runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")
"""All that is handed on: thread counts, preloads or Python paths would change the measurement."""
PREFIX = "edgekd-target-"
OLD_S = 60
"""Age from which a folder that nobody holds is no longer one that is just being made."""
LOCK = "edgekd-device.lock"
"""Locked while something is done on the device; it lies beside the working folders."""
QUEUE = "edgekd-device.queue"
"""Locked by the one that is next: who has just had its turn cannot come before it again."""
POLL_S = 0.1
PIECE = 2**20
OWN = "attendant.pid"
PRINTING = threading.Lock()


class Attendant:
    """Answers requests; at most one command runs at a time."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        self.lock: int | None = None
        """The device's lock, while it is held."""
        self.alone = False
        """Whether the link is cut."""
        self.watched = os.open(folder, os.O_RDONLY)  # shared: a sweep wants it for itself
        fcntl.flock(self.watched, fcntl.LOCK_SH)
        self._relieve()
        sweep(folder.parent)

    def _relieve(self) -> None:
        """End an attendant that still minds this folder: its link is cut and it may not know."""
        with contextlib.suppress(OSError, ValueError):
            before = int((self.folder / OWN).read_text("ascii"))
            words = Path(f"/proc/{before}/cmdline").read_bytes().split(b"\0")
            if os.fsencode(self.folder) in words:
                os.kill(before, signal.SIGTERM)
        (self.folder / OWN).write_text(str(os.getpid()), "ascii")

    def serve(self, silence_s: float) -> None:
        """Answer until the input ends or is silent for too long."""
        waiting = b""
        while select.select([0], [], [], silence_s)[0]:
            piece = os.read(0, PIECE)
            if not piece:
                return
            *lines, waiting = (waiting + piece).split(b"\n")
            for line in lines:
                work, words = (self.answer, (json.loads(line),)) if line else (_show_life, ())
                threading.Thread(target=work, args=words, daemon=True).start()

    def answer(self, request: dict[str, Any]) -> None:
        """Print the answer to one request; what the system refuses is one, and so is a mistake."""
        try:
            said = getattr(self, request.pop("do"))(**request)
        except OSError as error:
            said = {"refused": error.strerror or str(error), "path": error.filename}
        except Exception as error:  # without an answer the other side would wait for ever
            said = {"refused": f"{type(error).__name__}: {error}"}
        if not self.alone:  # else it tells of a command that was ended with the link
            with contextlib.suppress(OSError):
                _say(said)

    def take(self, wait_s: float, who: str) -> dict[str, Any]:
        """Have the device for this run alone, once others are done; else say who has it."""
        beside, deadline = self.folder.parent, time.monotonic() + wait_s
        queue, lock = opened(beside / QUEUE), opened(beside / LOCK)
        ours = _awaited(queue, deadline) and _awaited(lock, deadline)
        os.close(queue)
        if not ours:
            holder = os.pread(lock, PIECE, 0).decode("utf-8", "replace")
            os.close(lock)
            return {"held_by": holder}
        self.lock = lock
        if self.alone:
            return self.leave()
        with contextlib.suppress(OSError):  # another user's file can be locked, not written
            os.ftruncate(lock, 0)
            os.pwrite(lock, who.encode(), 0)
        return {}

    def leave(self) -> dict[str, Any]:
        """Let others have the device."""
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None
        return {}

    def files(self, path: str) -> dict[str, Any]:
        """Return the digest of a file, or of every file under a folder by its path from there."""
        place = Path(path)
        if place.is_file():
            return {"files": {"": _digest(place)}}
        found = [file for file in place.rglob("*") if file.is_file()]
        return {"files": {str(file.relative_to(place)): _digest(file) for file in found}}

    def part(self, path: str) -> dict[str, Any]:
        """Return how much of a file has come so far, and the digest of that."""
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.is_file():
            return {"bytes": 0, "sha256": ""}
        return {"bytes": place.stat().st_size, "sha256": _digest(place)}

    def place(self, part: str, path: str, sha256: str) -> dict[str, Any]:
        """Give a file that has come whole its name; what is not as it was sent is removed."""
        whole = _digest(Path(part)) == sha256
        if whole:
            Path(part).replace(path)
        else:
            Path(part).unlink()
        return {"whole": whole}

    def run(self, command: list[str], timeout_s: float) -> dict[str, Any]:
        """Run a command in the folder, in a bare environment; return how it ended."""
        process = self.process = subprocess.Popen(
            command,
            cwd=self.folder,
            env={name: os.environ[name] for name in KEPT if name in os.environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        if self.alone:  # since it was asked for, and what ended us found no command yet
            self.kill()
        late = False
        try:
            out, errors = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            late = True
            self.kill()
            out, errors = process.communicate()
        self.process = None
        return {
            "status": process.returncode,
            "late": late,
            "out": out.decode("utf-8", "replace"),
            "errors": errors.decode("utf-8", "replace"),
        }

    def kill(self) -> None:
        """End the command and all that it started."""
        if self.process is not None:
            with contextlib.suppress(OSError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def go(self) -> None:
        """Remove the folder and end."""
        self.end(0)
        _say({})
        os._exit(0)

    def end(self, linger_s: float) -> None:
        """End the command, free the device and, unless the run comes back, remove the folder."""
        self.alone = True
        self.kill()
        self.leave()
        time.sleep(linger_s)
        with contextlib.suppress(OSError, ValueError):
            if int((self.folder / OWN).read_text("ascii")) == os.getpid():
                shutil.rmtree(self.folder, ignore_errors=True)


def sweep(beside: Path) -> None:
    """Remove working folders that runs left behind which were killed: nobody holds those."""
    for folder in beside.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's, or just removed
            if time.time() - folder.stat().st_mtime < OLD_S:
                continue
            seen = os.open(folder, os.O_RDONLY)
            try:
                if locked(seen):
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(seen)


def opened(path: Path) -> int:
    """Return a lock file, which every user of the device can lock, whatever the umask is."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except PermissionError:  # another user made it
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with contextlib.suppress(PermissionError):  # another user's that we may write to
        os.fchmod(file, 0o644)
    return file


def _awaited(file: int, deadline: float) -> bool:
    """Lock a file once nobody else has it; tell whether that was so in time."""
    while not locked(file):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def locked(file: int) -> bool:
    """Lock a file where nobody else has; tell whether it is ours."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    found = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(PIECE):
            found.update(piece)
    return found.hexdigest()


def _say(message: dict[str, Any]) -> None:
    """Print one line; ASCII, because the device may know no other characters."""
    _print(json.dumps(message).encode() + b"\n")


def _show_life() -> None:
    """Print an empty line, unless an answer is being printed, which shows as much."""
    if not PRINTING.locked():
        with contextlib.suppress(OSError):
            _print(b"\n")


def _print(line: bytes) -> None:
    """Print one line, whatever other threads print."""
    with PRINTING:
        while line:
            line = line[os.write(1, line) :]


def main() -> None:
    """Serve, then end."""
    folder, silence_s, linger_s = Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    attendant = Attendant(folder)

    def relieved(*_: object) -> None:
        attendant.kill()
        os._exit(0)

    signal.signal(signal.SIGTERM, relieved)
    _say({"python": ".".join(map(str, sys.version_info[:3]))})
    attendant.serve(silence_s)
    attendant.alone = True
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # closed to the other side, which may hear us though we do not hear it
        os.dup2(nowhere, stream)
    attendant.end(linger_s)


if __name__ == "__main__":
    main()
