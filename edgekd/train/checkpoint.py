"""The state of a training on disk: never half a file, never an altered one, never a pickle."""

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from edgekd.core.artifact import digest_file, sync
from edgekd.core.errors import StageError
from edgekd.core.protocols.stage import Run
from edgekd.train.memory import is_memory
from edgekd.train.packing import pack, unpack

KEPT = 2
"""So that there is one to go back to where the newest is damaged."""
MOST_DEAR = 20
"""Times what a checkpoint takes must pass before the next: they cost a twentieth at most."""
PART, SKELETON = "checkpoint.part", "state"


class Checkpoints:
    """The checkpoints of one stage, in the folder that outlives an interruption.

    A file's name holds its step and the SHA-256 of its content.
    """

    def __init__(self, run: Run):
        self.run, self.folder = run, run.unfinished
        self._written, self._step, self._trouble = time.monotonic(), 0, ""
        self._took = 0.0

    def due(self, step: int) -> bool:
        """Tell whether the state after `step` steps is to be written."""
        every = self.run.checkpoint
        enough = every.every_steps is not None and step - self._step >= every.every_steps
        pause = max(every.every_s, MOST_DEAR * self._took)
        return enough or time.monotonic() - self._written >= pause

    def write(self, step: int, state: dict[str, Any]) -> bool:
        """Write the state after `step` steps and tell whether that succeeded.

        A disk that is full does not end the training: one notice says that nothing is kept.
        """
        part, began = self.folder / PART, time.monotonic()
        try:
            write_state(self.folder, f"step-{step:09}", state)
            self._remove(self.files()[KEPT:])
        except (OSError, SafetensorError) as error:
            self._remove([part])
            if str(error) != self._trouble:
                self.run.notice(f"no checkpoint could be written after step {step}: {error}")
            self._trouble = str(error)
            return False
        finally:
            self._written, self._step = time.monotonic(), step
            self._took = self._written - began
        return True

    def states(self) -> Iterator[dict[str, Any]]:
        """Yield the states that are whole, newest first; remove others, and say so.

        Ask for the next one where a state does not fit: it is removed. Where memory runs out or
        the system refuses to read, that is raised and nothing is removed.
        """
        for file in self.files():
            try:
                state = read_state(file)
            except Exception as error:
                if _is_of_the_machine(error):
                    raise
                self.refuse(file, f"cannot be used ({error})")
                continue
            self._step = int(file.name.split("-")[1])
            yield state
            self.refuse(file, "does not fit this training")

    def state(self, name: str) -> dict[str, Any]:
        """Return the state in one of the files, which another process found whole."""
        return read_state(self.folder / name)

    def refuse(self, file: Path, why: str) -> None:
        """Remove a checkpoint and say why."""
        self._remove([file])
        self._step = 0
        rest = "the one before is used" if self.files() else "training begins anew"
        self.run.notice(f"the checkpoint {file.name[:14]} {why}: {rest}.")

    def files(self) -> list[Path]:
        """Return the checkpoints that are there, newest first."""
        return sorted(self.folder.glob("step-*.safetensors"), reverse=True)

    def _remove(self, files: list[Path]) -> None:
        for file in files:
            with suppress(OSError):
                file.unlink()


def packed(state: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the state as text and tensors; StageError where a plug-in's state cannot be kept."""
    try:
        return pack(state)
    except TypeError as error:
        raise StageError(
            f"the state of this training cannot be kept: {error}.",
            "state_dict() must give numbers, texts, tensors and arrays, and dicts, lists and "
            "tuples of them.",
        ) from error


def _is_of_the_machine(error: Exception) -> bool:
    """Tell whether an error says nothing of what a file holds."""
    if isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError):
        return False
    refused = isinstance(error, OSError) or "os error" in str(error)  # safetensors wraps some
    return refused or is_memory(error)


def write_state(folder: Path, stem: str, state: Mapping[str, Any]) -> None:
    """Write a state as `<stem>-<digest of the content>.safetensors`; a part stays where that fails.

    StageError where a plug-in's state cannot be kept.
    """
    text, tensors = packed(state)
    part = folder / PART
    save_file(tensors, part, {SKELETON: text})
    sync(part)
    part.rename(folder / f"{stem}-{digest_file(part)}.safetensors")
    sync(folder)


def read_state(file: Path) -> dict[str, Any]:
    """Return the state in a file; ValueError where its content is not what its name says."""
    if digest_file(file) != file.stem.rpartition("-")[2]:
        raise ValueError("its content is not what was written")
    with safe_open(file, framework="pt") as opened:
        text = (opened.metadata() or {})[SKELETON]
    state: dict[str, Any] = unpack(text, load_file(file))
    return state
