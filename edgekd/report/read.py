"""Reading a report that a run left."""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edgekd.core.errors import Problem, RequestError
from edgekd.report.schema.report import Report

REPORT = "report.json"
FOREIGN = "Name a run that edgekd made: edgekd runs lists them."
VERSION: int = Report.model_fields["schema_version"].default


def read_report(folder: Path) -> Report:
    """Return the report in a run's folder; RequestError where there is none that can be read.

    Fields that a later edgekd of the same schema version added are passed over.
    """
    file = folder / REPORT
    try:
        found = json.loads(file.read_text("utf-8"))
    except OSError as error:
        step = "Its pipeline has no report stage that was run."
        raise RequestError(Problem("", f"{folder} has no {REPORT}.", step)) from error
    except ValueError as error:
        raise RequestError(Problem("", f"{file} is no JSON: {error}.", _again(None))) from error
    version = found.get("schema_version") if isinstance(found, dict) else None
    if version != VERSION:
        raise RequestError(_other_version(file, version, found))
    try:
        return Report.model_validate(found, extra="ignore")
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        message = f"{file} is no report of schema {VERSION}: {place}: {first['msg']}."
        raise RequestError(Problem("", message, _again(found))) from error


def _other_version(file: Path, version: object, found: Any) -> Problem:
    if not isinstance(version, int):
        return Problem("", f"{file} is no report: it has no schema_version.", FOREIGN)
    message = f"{file} has schema {version}, and this edgekd reads schema {VERSION}."
    if version > VERSION:
        return Problem("", message, "A later edgekd wrote it: use that one, or a later one.")
    return Problem("", message, f"An earlier edgekd wrote it. {_again(found)}")


def _again(found: Any) -> str:
    """Return how to have the report again, in the words of its own command where it has one."""
    about = found.get("provenance") if isinstance(found, dict) else None
    command = about.get("command") if isinstance(about, dict) else None
    return f"Make it anew: {command or 'edgekd run FILE'}"
