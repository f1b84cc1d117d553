"""The JSON Schemas of what programs read: reports, and runs beside each other.

A schema is open where a document is closed: a reader of a version passes over what it does not
know, so that fields can be added. What is there stays, in name and meaning, or the version rises.
"""

from collections.abc import Callable
from typing import Any

from edgekd.report.across.schema import RunsCompared
from edgekd.report.schema.document import Document
from edgekd.report.schema.report import Report

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def report_schema() -> dict[str, Any]:
    """Return the schema of `report.json`."""
    return _schema(Report, "report")


def runs_schema() -> dict[str, Any]:
    """Return the schema of what `edgekd compare --json` prints."""
    return _schema(RunsCompared, "comparison")


SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {
    "report": report_schema,
    "comparison": runs_schema,
}
"""By the name that `edgekd schema` takes."""


def _schema(document: type[Document], name: str) -> dict[str, Any]:
    version = document.model_fields["schema_version"].default
    found = document.model_json_schema(mode="serialization")
    head = {"$schema": DIALECT, "$id": f"urn:edgekd:{name}:{version}", "title": f"edgekd {name}"}
    opened = {k: v for k, v in _opened(found).items() if k not in head}
    return head | opened | {"required": ["schema_version", *opened["required"]]}


def _opened(value: Any) -> Any:
    """Return a schema that allows fields that it does not name."""
    if isinstance(value, list):
        return [_opened(item) for item in value]
    if not isinstance(value, dict):
        return value
    closed = value.get("additionalProperties") is False
    return {
        key: _opened(item)
        for key, item in value.items()
        if not (closed and key == "additionalProperties")
    }
