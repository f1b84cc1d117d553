"""TensorBoard's event files: a folder per run, and in it one per stage.

They are written with TensorBoard's own record writer: it needs no torch, and it writes at once,
where TensorBoard's event writer has a thread that a full disk ends unheard.
"""

import errno
import io
import itertools
import os
import re
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgekd.track.tracker import State

NEWEST = "brain.Event:2"
"""The version of the format of event files."""


class TensorBoard:
    """Writes one event file per stage below `folder/<when>-<name>`."""

    def __init__(self, folder: Path, name: str, at: float):
        from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        self._metadata, self._tensor = summary_pb2.SummaryMetadata, tensor_pb2.TensorProto
        self._writer = RecordWriter
        self.folder = _new(folder, name, at)
        self._files: dict[str, Path] = {}

    def begin(self, stage: str, settings: Mapping[str, str], at: float) -> None:
        """Begin a stage's event file."""
        folder = self.folder / stage
        folder.mkdir(exist_ok=True)
        file = f"events.out.tfevents.{int(at):010d}.{socket.gethostname()}.{os.getpid()}.0"
        self._files[stage] = folder / file
        self._write(stage, self._event(wall_time=at, file_version=NEWEST))
        self.words(stage, "settings", settings, at)

    def numbers(self, stage: str, values: Mapping[str, float], step: int, at: float) -> None:
        """Write one scalar per name."""
        found = [self._summary.Value(tag=tag, simple_value=v) for tag, v in values.items()]
        self._write(stage, self._event(wall_time=at, step=step, summary=self._summary(value=found)))

    def words(self, stage: str, about: str, rows: Mapping[str, str], at: float) -> None:
        """Write a table for the Text tab."""
        if not rows:
            return
        lines = ["| | |", "|---|---|", *(f"| {_cell(k)} | {_cell(v)} |" for k, v in rows.items())]
        data = self._metadata.PluginData(plugin_name="text")
        tensor = self._tensor(dtype="DT_STRING", string_val=["\n".join(lines).encode()])
        tensor.tensor_shape.dim.add(size=1)
        value = self._summary.Value(
            tag=about, tensor=tensor, metadata=self._metadata(plugin_data=data)
        )
        self._write(stage, self._event(wall_time=at, summary=self._summary(value=[value])))

    def file(self, path: Path) -> None:
        """Keep no files: TensorBoard shows none."""

    def end(self, stage: str, state: State, at: float) -> None:
        """Write how a stage ended."""
        self.words(stage, "state", {"state": state}, at)

    def _write(self, stage: str, event: Any) -> None:
        """Append one record, whole, so that a run that is killed leaves a file that is read."""
        record = io.BytesIO()
        self._writer(record).write(event.SerializeToString())
        path, data = self._files[stage], record.getvalue()
        with path.open("ab", buffering=0) as file:
            if file.write(data) != len(data):  # what came after half a record could not be read
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _new(folder: Path, name: str, at: float) -> Path:
    """Return a folder of a run that no other has."""
    stamp = time.strftime("%Y-%m-%d-%H%M%S", time.localtime(at))
    for number in itertools.count(1):
        made = folder / (f"{stamp}-{name}" + (f"-{number}" if number > 1 else ""))
        try:
            made.mkdir(parents=True)
        except FileExistsError:
            continue
        return made
    raise AssertionError


def _cell(text: str) -> str:
    """Return a text that stays in its cell of a table."""
    return re.sub(r"\s+", " ", text).replace("|", r"\|")
