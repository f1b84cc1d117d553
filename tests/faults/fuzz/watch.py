"""Sees what a process does while it reads a file: reading should run nothing and write nothing."""

import os
import sys
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from fuzz.hostile import CANARY

RUNS = frozenset(
    {
        "os.system",
        "subprocess.Popen",
        "os.exec",
        "os.posix_spawn",
        "os.spawn",
        "os.fork",
        "os.forkpty",
        "os.startfile",
        "os.kill",
        "os.killpg",
        "pty.spawn",
        "ctypes.dlopen",
        "webbrowser.open",
        "pickle.find_class",
        "marshal.load",
        "code.__new__",
        "cpython.run_command",
        "cpython.run_file",
    }
)
CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "shutil.")
CHANGES = (*CHANGES, "os.truncate", "os.chmod", "os.chown", "tempfile.")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
MAKERS = ("dataclasses.py", "collections/__init__.py", "typing.py", "typing_extensions.py")
"""Files of Python that make code of field names, and see to it that these are names."""


class Watch:
    """Notes what should not happen between `begin` and `end`."""

    def __init__(self, folder: Path):
        self.folder, self.on, self.seen = str(folder), False, set[str]()
        sys.addaudithook(self._audit)

    def begin(self) -> None:
        """Look from here on."""
        self.seen, self.on = set(), True

    def end(self) -> set[str]:
        """Return what was seen."""
        self.on = False
        return self.seen

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open":
            self._open(*args)
        elif event == "exec":
            self._exec(args[0])
        elif event == "compile":
            self._compile(*args)
        elif event.startswith("socket."):
            if event not in ("socket.gethostname", "socket.__new__"):
                self.seen.add(event)
                raise ConnectionRefusedError(f"no network here: {event}")
        elif (event in RUNS or event.startswith(CHANGES)) and not _importing():
            self.seen.add(f"{event} {args!r:.200}")

    def _open(self, path: Any, mode: Any, flags: Any) -> None:
        writes = isinstance(flags, int) and flags & WRITING
        if writes and path not in (os.devnull, "/dev/null"):
            self.seen.add(f"open for writing {path!r:.200} {mode}")

    def _exec(self, code: CodeType) -> None:
        if code.co_filename.startswith(self.folder):
            self.seen.add(f"exec {code.co_filename.removeprefix(self.folder)}")
        elif code.co_filename.startswith("<") and not _importing() and not _made():
            self.seen.add(f"exec {code.co_filename} from {_caller()}")

    def _compile(self, source: Any, filename: Any) -> None:
        text = (
            source if isinstance(source, str) else bytes(source or b"").decode("utf-8", "replace")
        )
        if CANARY in text and not str(filename).startswith(self.folder):
            self.seen.add(f"compile of the file's text from {_caller()}")


def _frames() -> list[FrameType]:
    frames, frame = [], sys._getframe(3)
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back  # type: ignore[assignment]
    return frames


def _importing() -> bool:
    """Whether an import of an installed module is under way."""
    return any(frame.f_code.co_filename == "<frozen importlib._bootstrap>" for frame in _frames())


def _made() -> bool:
    return any(frame.f_code.co_filename.endswith(MAKERS) for frame in _frames()[:4])


def _caller() -> str:
    frame = _frames()[0]
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
