"""Columns of a table in a file: CSV, TSV, JSON lines or Parquet, told by its ending."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from edgekd.core.errors import Problem, RequestError, nearest

Row = tuple[int, Sequence[object]]
"""The number that people find a row by, and its values of the columns that were asked for."""

LONGEST_FIELD = 2**27
"""Characters of one field of a CSV file; Python's own limit is 131,072."""


@dataclass(frozen=True)
class Table:
    """What was read of a file."""

    columns: Mapping[str, Sequence[object]]
    places: Sequence[str]
    """Where each row is, as `mails.csv:17`."""


def check_table(path: Path, names: Sequence[str]) -> Iterator[Problem]:
    """Yield why a file has no such columns; only its beginning is read."""
    try:
        next(_rows(path, names), None)
    except RequestError as error:
        yield from error.problems


def read_table(path: Path, names: Sequence[str]) -> Table:
    """Return columns of a file; RequestError where it cannot be read or has none of that name."""
    rows = list(_rows(path, names))
    columns = {name: [values[i] for _, values in rows] for i, name in enumerate(names)}
    return Table(columns, [f"{path.name}:{number}" for number, _ in rows])


def _rows(path: Path, names: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of a file; RequestError where one is not as it should be."""
    read = FORMATS.get(path.suffix.lower())
    if not path.is_file():
        raise _problem(f"there is no file {path.absolute()}.", "Give the path of a file.")
    if read is None:
        known = ", ".join(FORMATS)
        raise _problem(f"{path} is none of {known}.", "Convert it, or name it by what it is.")
    try:
        yield from read(path, names)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        step = "Write it anew, in UTF-8."
        raise _problem(f"{path} cannot be read: {error}.", step) from error


def _separated(delimiter: str) -> Callable[[Path, Sequence[str]], Iterator[Row]]:
    def rows(path: Path, names: Sequence[str]) -> Iterator[Row]:
        csv.field_size_limit(LONGEST_FIELD)
        with path.open(encoding="utf-8-sig", newline="") as stream:
            yield from _below_a_header(path, names, stream, delimiter)

    return rows


def _below_a_header(
    path: Path, names: Sequence[str], stream: IO[str], delimiter: str
) -> Iterator[Row]:
    lines = csv.reader(stream, delimiter=delimiter, strict=True)
    header = next(lines, [])
    _check_names(path, names, header)
    wanted, before = [header.index(name) for name in names], lines.line_num
    for values in lines:
        if values and len(values) != len(header):
            raise _problem(
                f"{path}:{before + 1} has {len(values)} fields; the first line names "
                f"{len(header)} columns.",
                'Put fields that hold a separator or a line break in "quotes".',
            )
        if values:  # an empty line is none
            yield before + 1, [values[index] for index in wanted]
        before = lines.line_num


def _json_lines(path: Path, names: Sequence[str]) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                step = "Write one JSON object on every line."
                raise _problem(f"{path}:{number} is no JSON: {error}.", step) from error
            if not isinstance(row, dict):
                step = 'Write one JSON object on every line: {"text": ..., "label": ...}.'
                raise _problem(f"{path}:{number} is no JSON object.", step)
            _check_names(path, names, row, f":{number}")
            yield number, [row[name] for name in names]


def _parquet(path: Path, names: Sequence[str]) -> Iterator[Row]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError as error:
        step = "Install it with: pip install 'edgekd[parquet]'"
        raise _problem(f"{path} is read by pyarrow, which is not installed.", step) from error
    try:
        with ParquetFile(path) as file:
            _check_names(path, names, file.schema_arrow.names)
            number = 0
            for batch in file.iter_batches(columns=list(names)):
                columns = [batch.column(name).to_pylist() for name in names]
                for values in zip(*columns, strict=True):
                    number += 1
                    yield number, values
    except ArrowException as error:
        step = "Write it anew."
        raise _problem(f"{path} cannot be read: {error}.", step) from error


FORMATS: Mapping[str, Callable[[Path, Sequence[str]], Iterator[Row]]] = {
    ".csv": _separated(","),
    ".tsv": _separated("\t"),
    ".jsonl": _json_lines,
    ".parquet": _parquet,
}


def _check_names(
    path: Path, names: Sequence[str], found: Sequence[str] | Mapping[str, Any], at: str = ""
) -> None:
    for name in names:
        if name not in found:
            message = f"{path}{at} has no column '{name}'."
            raise _problem(message, nearest(name, [str(each) for each in found]))


def _problem(message: str, next_step: str) -> RequestError:
    return RequestError(Problem("task.data", message, next_step))
