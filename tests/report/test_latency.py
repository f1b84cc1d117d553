"""A latency that is not valid says so where it stands, and why once."""

import re

import pytest

from edgekd.core.results import NOT_VALID
from edgekd.report.html import to_html
from edgekd.report.markdown import to_markdown
from edgekd.report.schema.report import Report
from edgekd.report.sections.latency import latency_table, start_table
from edgekd.report.sections.steps import steps_table

BUSY = "the process had 43% of a core: others were busy beside it"


def drifted(passing: Report, *, programs=("onnx", "pte")) -> Report:
    """Return a report in which some programs drifted."""
    (check,) = passing.checks
    notes = {
        name: f"{NOT_VALID}latency drifted by more than 5% within {count} of 3 restarts"
        for name, count in zip(programs, range(2, 9), strict=False)
    }
    rows = [
        row.model_copy(update={"valid": False, "notes": [notes[row.program], BUSY]})
        if row.program in programs
        else row
        for row in check.rows
    ]
    return passing.model_copy(update={"checks": [check.model_copy(update={"rows": rows})]})


@pytest.fixture(scope="module")
def busy(passing):
    return drifted(passing)


def test_each_number_bears_a_short_mark_and_the_reason_stands_once_below(busy):
    (check,) = busy.checks
    table = latency_table(check, "cpu")
    for name, *cells in table.rows:
        marks = {cell.mark for cell in cells if cell.text != "—"}
        assert marks == ({"invalid"} if name.text in ("onnx", "pte") else {""})
    assert table.notes == [
        "Invalid latencies of onnx and pte: latency drifted by more than 5% within 2 to 3 of 3 "
        "restarts."
    ]


def test_every_table_with_such_a_latency_marks_it(busy):
    (check,) = busy.checks
    for table, column in ((start_table(check, "cpu"), 3), (steps_table(check, "cpu"), -1)):
        marks = {row[0].text: row[column].mark for row in table.rows}
        assert {name for name, mark in marks.items() if mark == "invalid"} == {"onnx", "pte"}


def test_the_page_and_the_markdown_say_it_once_in_that_section(busy):
    page = to_html(busy)
    section = page[page.index('<section aria-labelledby="latency">') :].partition("</section>")[0]
    said = "Invalid latencies of onnx and pte: latency drifted by more than 5%"
    for text in (section, re.search(r"<summary>Latency<.*?</details>", to_markdown(busy), re.S)[0]):
        assert text.count("drifted") == 1
        assert said in text
        assert text.index("(invalid)") < text.index(said)
    assert re.search(r'</table>\s*</div>\s*<p class="note small muted">Invalid latencies', section)


def test_of_all_programs_it_needs_no_names(passing):
    (check,) = passing.checks
    (check,) = drifted(passing, programs=[row.program for row in check.rows]).checks
    (note,) = latency_table(check, "cpu").notes
    assert note.startswith("Invalid latencies: latency drifted by more than 5% within 2 to ")


def test_a_program_that_failed_is_not_called_invalid_and_valid_ones_need_no_note(passing):
    (check,) = passing.checks
    rows = [row.model_copy(update={"valid": False, "failure": "ended"}) for row in check.rows]
    for one in (check, check.model_copy(update={"rows": rows})):
        table = latency_table(one, "cpu")
        assert {cell.mark for _, *cells in table.rows for cell in cells} == {""}
        assert table.notes == []
