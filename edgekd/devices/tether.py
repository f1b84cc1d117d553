"""Runs a command for as long as its own standard input stays open.

    python3 -I -S tether.py FOLDER [COMMAND ...]

Whoever starts it holds the other end of that pipe. The system closes it however the holder ends,
SIGKILL included; then the command and all of its process group are killed and FOLDER is removed.
Without a command it only keeps the folder for as long.
Needs nothing but the standard library, and sleeps while the command runs.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

PATIENCE_S = 10


def main() -> None:
    """Run the command, and end as it ends."""
    folder, *command = sys.argv[1:]
    if not command:
        _wait()
        _remove(folder)
        return
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    alone = threading.Event()
    threading.Thread(target=_watch, args=(folder, process, alone), daemon=True).start()
    status = process.wait()
    while alone.is_set():  # the other thread removes the folder, then ends this process too
        signal.pause()
    if status < 0:
        os.kill(os.getpid(), -status)
        signal.pause()  # the signal may reach another thread first
    os._exit(status)


def _wait() -> None:
    """Return when the pipe is closed."""
    while os.read(0, 1):
        pass


def _remove(folder: str) -> None:
    """Remove a folder, though a command that is being ended may still write there."""
    deadline = time.monotonic() + PATIENCE_S
    shutil.rmtree(folder, ignore_errors=True)
    while Path(folder).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
        shutil.rmtree(folder, ignore_errors=True)


def _watch(folder: str, process: "subprocess.Popen[bytes]", alone: threading.Event) -> None:
    """End everything when the pipe is closed; the group holds this process too."""
    _wait()
    alone.set()
    process.kill()
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
