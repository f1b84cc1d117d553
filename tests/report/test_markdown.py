import re

import pytest

from edgekd.report.markdown import escaped, to_markdown


def test_it_begins_with_the_verdict_and_the_gates(passing):
    text = to_markdown(passing)
    assert text.startswith("## ✓ quickstart: Contract kept: all 6 gates passed\n")
    before_details = text.split("<details>")[0]
    assert "| Gate | Limit | onnx | pte |" in before_details
    assert before_details.count("✓ pass") == 6


def test_every_gate_that_is_not_kept_is_explained(failing):
    text = to_markdown(failing)
    assert "- ✗ fail, Size of onnx on cpu" in text
    assert "- ? inconclusive, Accuracy lost of" in text


def test_every_row_of_a_table_has_as_many_cells_as_its_head(make):
    text = to_markdown(make(names={"pte": "a|b", "student": "`c`"}, labels=["x|y", "<i>", "\n"]))
    tables = re.findall(r"(?:^\|.*\|\n)+", text, flags=re.MULTILINE)
    assert len(tables) > 5
    for table in tables:
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(counts) == 1


@pytest.mark.parametrize("text", ["<script>", "a|b", "`x`", "*b*", "[a](b)", "two\nlines", "~~x~~"])
def test_names_are_shown_as_they_are(text):
    shown = escaped(text)
    assert "<" not in shown
    assert "\n" not in shown
    assert not re.search(r"(?<!\\)[|`*\[~]", shown)


def test_a_pipeline_with_a_fence_stays_inside_its_block(make):
    from dataclasses import replace

    from report_evidence import ORIGIN

    text = to_markdown(make(origin=replace(ORIGIN, text="a: |\n  ```\n  b\n")))
    assert "\n````\na: |" in text


def test_the_command_that_repeats_the_run_is_there(passing):
    assert "```\nedgekd run pipelines/quickstart.yaml\n```" in to_markdown(passing)
