"""Pages that commands write are what those commands would write now."""

import json
import runpy
from pathlib import Path

import pytest

from ..benchmarks.record_objectives import HERE
from ..benchmarks.record_objectives import RESULTS as OBJECTIVES
from ..benchmarks.record_papers import PIPELINES, RESULTS
from ..benchmarks.recording.made import digest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", ["methods", "objectives", "papers"])
def test_a_page_is_what_its_command_writes(page):
    """Where this fails: `python docs/PAGE.py`."""
    written = runpy.run_path(str(DOCS / f"{page}.py"))["text"]()
    assert (DOCS / f"{page}.md").read_text("utf-8") == written


def test_a_difference_is_bold_where_it_is_shown_and_says_where_nothing_was_tested():
    words = runpy.run_path(str(DOCS / "methods.py"))["_difference"]
    found = {"mean": -0.012, "low": -0.02, "high": -0.004, "p": 0.0421, "pairs": 5}
    assert words(found, 100) == "**-1.20 (-2.00 to -0.40), p = 0.042**"
    assert words(found | {"p": 0.05}, 100) == "-1.20 (-2.00 to -0.40), p = 0.05"
    assert words(found | {"p": 1e-5}, 100).endswith("p < 0.001**")
    one = {"mean": 0.5, "low": None, "high": None, "p": None, "pairs": 1}
    assert words(one, 1) == "+0.50, not tested"
    assert words(None, 1) == "-"


@pytest.mark.parametrize("file", sorted(RESULTS.glob("*.json")), ids=lambda f: f.stem)
def test_a_record_is_of_its_pipeline_as_it_stands(file):
    """Where this fails: `python -m tests.benchmarks.record_papers ID`."""
    assert json.loads(file.read_text("utf-8"))["digest"] == digest(PIPELINES / f"{file.stem}.yaml")


@pytest.mark.parametrize("file", sorted(OBJECTIVES.glob("*.json")), ids=lambda f: f.stem)
def test_a_record_of_objectives_is_of_its_pipeline_as_it_stands(file):
    """Where this fails: `python -m tests.benchmarks.record_objectives` with its option, if any."""
    assert json.loads(file.read_text("utf-8"))["digest"] == digest(HERE / f"{file.stem}.yaml")


def test_a_pipeline_that_names_no_paper_is_refused(tmp_path):
    page = runpy.run_path(str(DOCS / "papers.py"))
    (tmp_path / "own.yaml").write_text("name: own\ndescription: something of ours\nstages: {}\n")
    page["text"].__globals__["PIPELINES"] = tmp_path
    with pytest.raises(ValueError, match=r"own\.yaml names no paper: write its arXiv number"):
        page["text"]()


def test_a_paper_without_a_piece_of_its_own_has_those_that_its_pipeline_names(tmp_path):
    page = runpy.run_path(str(DOCS / "papers.py"))
    (tmp_path / "theirs.yaml").write_text(
        "name: theirs\ndescription: 'Theirs, arXiv 9901.00001: flipped.'\n"
        "stages: {student: {kind: distill, objective: [{kind: kd}], train: {augment: [flip]}}}\n"
    )
    page["text"].__globals__["PIPELINES"] = tmp_path
    (row,) = [row for row in page["text"]().splitlines() if "9901.00001" in row]
    assert "augment `flip`, objective `kd`" in row
    assert "[theirs](../pipelines/papers/theirs.yaml)" in row
