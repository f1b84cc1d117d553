"""Reports of two runs that differ in what a test says."""

import json
from pathlib import Path

import pytest

from edgekd.report.across.given import Given


@pytest.fixture
def edited(passing):
    """Return a function that makes a report like the passing one, edited as plain JSON."""

    def edit(change=lambda document: None):
        document = json.loads(passing.model_dump_json())
        change(document)
        return type(passing).model_validate(document)

    return edit


@pytest.fixture
def pair(passing, edited, tmp_path):
    """Return a function that makes base and other run, the other edited."""

    def given(change=lambda document: None):
        folders = [tmp_path / "old", tmp_path / "new"]
        reports = zip("AB", folders, (passing, edited(change)), strict=True)
        return [Given(letter, Path(folder), report) for letter, folder, report in reports]

    return given


def row(document, program="onnx"):
    """Return what was measured of a program."""
    return next(row for row in document["checks"][0]["rows"] if row["program"] == program)


def stage(document, name):
    """Return a stage's record."""
    return next(one for one in document["provenance"]["stages"] if one["name"] == name)
