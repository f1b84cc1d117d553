"""The folders of runs: what people open, and a record of what each run came to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgekd.pipeline.kept import read_json, write_json

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
    """Stage name to key: two runs with the same keys are the same run."""
    results: Mapping[str, Mapping[str, Any]]
    gates: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class RunFolders:
    """A folder with one folder per run."""

    root: Path

    def records(self) -> Iterator[tuple[Path, Record]]:
        """Yield every run, the oldest first."""
        found = []
        for file in self.root.glob(f"*/{RECORD}"):
            data = read_json(file)
            if isinstance(data, dict):
                found.append((file.parent, Record(**data)))
        yield from sorted(found, key=lambda pair: pair[1].finished_at)

    def of(self, record: Record) -> Path:
        """Return the folder of an earlier run with the same results, else a new one."""
        for folder, earlier in self.records():
            if earlier.keys == record.keys and earlier.name == record.name:
                return folder
        base = f"{record.finished_at[:10]}-{record.name}"
        number, folder = 1, self.root / base
        while folder.exists():
            number += 1
            folder = self.root / f"{base}-{number}"
        return folder

    def write(self, record: Record, folder: Path) -> None:
        """Write the record of a run into its folder, unless it is there."""
        if read_json(folder / RECORD) is None:
            write_json(folder / RECORD, asdict(record))
