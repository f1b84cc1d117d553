import html
import re
from html.parser import HTMLParser

import pytest

from edgekd.report.across.build import compare_runs
from edgekd.report.across.formats import runs_html, runs_markdown
from edgekd.report.across.schema import RunsCompared

from .conftest import row, stage

HOSTILE = '<script>alert("1")</script> | `x` & $y$'
VOID = {"meta", "br"}


class Page(HTMLParser):
    """Collects tags and texts; a tag that is closed must be the one that is open."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open += [] if tag in VOID else [tag]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture
def compared(pair):
    def change(document):
        document["checks"][0]["machines"][0]["measured_at"] = "2026-11-24T09:07:12+00:00"
        document["checks"][0]["gates"][1]["verdict"] = "fail"
        row(document)["quantities"]["size_mib"]["value"] *= 2
        stage(document, "student")["identity"]["options"] = {HOSTILE: HOSTILE}
        document["headline"]["sentence"] = HOSTILE

    return compare_runs([(run.folder, run.report) for run in pair(change)])


def test_the_page_is_well_formed_and_loads_nothing(compared):
    text = runs_html(compared)
    for tag, attributes in Page(text).tags:
        assert tag not in ("script", "link", "iframe", "img", "object")
        assert attributes.get("href", "#").startswith("#")
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"https?://|@import|url\(", text)
    assert HOSTILE not in text
    assert html.escape(HOSTILE, quote=False).replace('"', "&#34;") in text


def test_page_and_markdown_say_the_same(compared):
    page = " ".join(" ".join(Page(runs_html(compared)).texts).split())
    text = runs_markdown(compared)
    for words in (
        "new against old", "Size 100 % larger", "other times; intervals overlap",
        "fail in B", "how to repeat them", "edgekd bench NEW --against OLD --target cpu",
    ):  # fmt: skip
        assert words in page.replace(" )", ")"), words
        assert words in text, words


def test_no_ratio_of_times_is_anywhere(compared):
    for text in (runs_html(compared), runs_markdown(compared)):
        assert not re.search(r"faster|slower|speed-up of", text)


def test_the_document_fits_its_schema_and_is_read_back_as_it_was(compared, fits):
    fits("comparison-1", compared.model_dump_json())
    assert RunsCompared.model_validate_json(compared.model_dump_json()) == compared


def test_a_page_over_many_programs_takes_those_that_differ_first_and_says_so(compared):
    many = compared.model_copy(update={"places": compared.places * 200})
    text = runs_html(many)
    assert len(text.encode()) < 3 * 2**20
    assert f"{6 * 200 - 100:,} more programs on a target".replace(",", "") in text
    assert "300 of 1200: the JSON has all" in text
    differs = [place.program for place in compared.places if place.program == "onnx"]
    assert compared.places[0].program in differs
