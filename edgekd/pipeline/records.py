"""The folders of runs: what people open, and a record of what each run came to."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import count
from pathlib import Path
from typing import Any

from edgekd.core.artifact import digest_json
from edgekd.core.errors import Problem, RequestError
from edgekd.pipeline.kept import read_json, sweep_parts, write_json

RECORD = "run.json"


@dataclass(frozen=True)
class Record:
    """A finished run."""

    name: str
    file: str
    command: str
    finished_at: str
    """ISO 8601, UTC."""
    exit_code: int
    keys: Mapping[str, str]
    """Stage name to key, which is where the store keeps its result."""
    contents: Mapping[str, str]
    """Stage name to content: two runs with the same contents are the same run."""
    results: Mapping[str, Mapping[str, Any]]
    gates: Sequence[Mapping[str, Any]]


FIELDS = {field.name for field in fields(Record)}
_TEXTS = ("name", "file", "command", "finished_at")
_MAPPINGS = ("keys", "contents", "results")


def _is_record(data: object) -> bool:
    """Tell whether a JSON value is a record: people can write into the folders of runs."""
    return (
        isinstance(data, dict)
        and {*data} == FIELDS
        and all(isinstance(data[name], str) for name in _TEXTS)
        and all(isinstance(data[name], dict) for name in _MAPPINGS)
        and isinstance(data["exit_code"], int)
        and isinstance(data["gates"], list)
        and all(isinstance(gate, dict) and "verdict" in gate for gate in data["gates"])
    )


def read_record(file: Path) -> Record | None:
    """Return the record in a file; None where there is none, or one that is not ours or older."""
    data = read_json(file)
    return Record(**data) if data is not None and _is_record(data) else None


@dataclass(frozen=True)
class RunFolders:
    """A folder with one folder per run."""

    root: Path

    def prepare(self) -> None:
        """Make the folder of runs; RequestError where that is not possible."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
            sweep_parts(self.root, "*/")
        except OSError as error:
            message = f"{self.root} cannot be written: {error.strerror}."
            step = "Give another folder with --runs."
            raise RequestError(Problem("", message, step, "--runs")) from error

    def records(self) -> Iterator[tuple[Path, Record]]:
        """Yield every run, the oldest first."""
        found = []
        for file in self.root.glob(f"*/{RECORD}"):
            if (record := read_record(file)) is not None:
                found.append((file.parent, record))
        yield from sorted(found, key=lambda pair: pair[1].finished_at)

    def of(self, record: Record) -> Path:
        """Return the folder of an earlier run with the same results, else a new one."""
        for folder, earlier in self.records():
            if earlier.contents == record.contents and earlier.name == record.name:
                return folder
        base = f"{record.finished_at[:10]}-{record.name}"
        for number in count(1):
            folder = self.root / (base if number == 1 else f"{base}-{number}")
            try:
                folder.mkdir(parents=True)  # making it is the claim: another run may end just now
            except FileExistsError:
                continue
            break
        return folder

    def write(self, record: Record, folder: Path) -> None:
        """Write the record of a run into its folder, unless one that says the same is there."""
        known = read_json(folder / RECORD)
        before = known.get("finished_at", "") if isinstance(known, dict) else ""
        same = digest_json(asdict(replace(record, finished_at=before)))
        if known is None or digest_json(known) != same:
            write_json(folder / RECORD, asdict(record))
