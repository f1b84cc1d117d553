"""The schemas that other programs rely on."""

import copy
import json
from pathlib import Path

import jsonschema
import pytest

from edgekd.report.across.schema import RunsCompared
from edgekd.report.published import SCHEMAS, report_schema
from edgekd.report.schema.report import Report

FOLDER = Path(__file__).parents[2] / "docs" / "schemas"
VERSIONS = {"report": Report, "comparison": RunsCompared}


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schema_in_the_docs_is_what_edgekd_prints(name):
    """Where this fails: `edgekd schema NAME > docs/schemas/NAME-VERSION.json`.

    If something was removed, renamed or means another thing, raise `schema_version` first, and keep
    the older file.
    """
    version = VERSIONS[name].model_fields["schema_version"].default
    published = json.loads((FOLDER / f"{name}-{version}.json").read_text())
    assert published == SCHEMAS[name]()
    assert published["$id"] == f"urn:edgekd:{name}:{version}"


@pytest.mark.parametrize("name", SCHEMAS)
def test_no_version_that_was_published_is_gone(name):
    newest = VERSIONS[name].model_fields["schema_version"].default
    first = 2 if name == "report" else 1  # the first report schema was not published
    found = {path.stem for path in FOLDER.glob(f"{name}-*.json")}
    assert found == {f"{name}-{version}" for version in range(first, newest + 1)}


def broken(document):
    """Yield what a report must not be, with its name."""
    for field in ("schema_version", "headline", "checks", "provenance"):
        yield field, {k: v for k, v in document.items() if k != field}
    for path, value in (
        (("schema_version",), 3),
        (("headline", "verdict"), "maybe"),
        (("checks", 0, "rows", 0, "quantities", "accuracy", "value"), "0.9"),
        (("checks", 0, "gates", 0, "verdict"), "not_judged"),
        (("provenance", "stages", 0, "kept"), None),
    ):
        other = copy.deepcopy(document)
        place = other
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        yield ".".join(map(str, path)), other


def test_what_is_no_report_does_not_fit(passing):
    validator = jsonschema.Draft202012Validator(report_schema())
    document = json.loads(passing.model_dump_json())
    assert validator.is_valid(document)
    wrong = dict(broken(document))
    assert [name for name, one in wrong.items() if validator.is_valid(one)] == []


def test_a_field_that_a_later_edgekd_adds_still_fits(failing):
    document = json.loads(failing.model_dump_json())
    document["added"] = 1
    document["checks"][0]["rows"][0]["added"] = {"more": []}
    assert jsonschema.Draft202012Validator(report_schema()).is_valid(document)
