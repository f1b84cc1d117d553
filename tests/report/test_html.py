import re
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from edgekd.report.html import to_html

VOID = {"meta", "link", "br", "hr", "img", "input"}
HOSTILE = ["<script>alert(1)</script>", "$x^2$", "日本語", 'a"b', "x" * 80, "two\nlines", "&amp;"]


class Page(HTMLParser):
    """Collects tags, and complains where one is closed that is not open."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.headings, self.text = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open[-1:] == [tag]
        self.open.pop()

    def handle_data(self, data):
        self.text.append(data)
        if self.open and self.open[-1] in ("h1", "h2", "h3"):
            self.headings.append((self.open[-1], data))


@pytest.fixture(scope="module")
def pages(passing, failing):
    return {"passing": to_html(passing), "failing": to_html(failing)}


@pytest.fixture(scope="module", params=["passing", "failing"])
def page(request, pages):
    return pages[request.param]


def drawings(page):
    return re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)


def test_the_page_is_well_formed(page):
    Page(page)


def test_nothing_is_loaded_from_anywhere(page):
    namespaces = re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert not re.search(r"https?://|@import|url\((?!#)", namespaces)
    for tag, attributes in Page(page).tags:
        assert tag not in ("script", "link", "iframe", "img", "object")
        assert attributes.get("href", attributes.get("xlink:href", "#")).startswith("#")
        assert not any(name.startswith("on") for name in attributes)


def test_it_fits_into_three_megabytes(page):
    assert len(page.encode()) < 3 * 2**20


def test_every_section_is_there_in_order(page):
    titles = [text for tag, text in Page(page).headings if tag == "h2"]
    wanted = ["Step by step", "Latency", "Quality", "Trade-off", "Training", "Provenance"]
    assert titles == wanted


def levels_are_in_order(page):
    levels = [int(tag[1]) for tag, _ in Page(page).headings if tag != "h1"]
    return all(after - before <= 1 for before, after in pairwise([1, *levels]))


def test_headings_do_not_skip_a_level(page):
    assert levels_are_in_order(page)


def test_two_checks_stand_side_by_side(passing):
    (check,) = passing.checks
    other = check.model_copy(update={"stage": "recheck"})
    page = to_html(passing.model_copy(update={"checks": [check, other]}))
    assert levels_are_in_order(page)
    assert "Contract of recheck" in page
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def luminance(colour):
    shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.03928 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1])
def test_colours_stand_out_from_the_paper_in_both_schemes(pages, scheme):
    block = pages["passing"].split("prefers-color-scheme: dark")[scheme].split("box-sizing")[0]
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", block))
    paper = luminance(colours.pop("paper"))
    for name, colour in colours.items():
        if name in ("grid", "budget"):
            continue
        light, dark = sorted((luminance(colour), paper), reverse=True)
        drawn_only = name.startswith("step-")  # no text has these
        assert (light + 0.05) / (dark + 0.05) >= (3 if drawn_only else 4.5), name


def test_every_drawing_has_a_title_and_a_description(page):
    assert drawings(page)
    for drawing in drawings(page):
        tree = ElementTree.fromstring(drawing)
        assert tree.get("role") == "img"
        named = [e for e in tree if e.tag.endswith(("title", "desc"))]
        parts = {e.get("id"): (e.text or "").strip() for e in named}
        assert all(parts[name] for name in tree.get("aria-labelledby").split())


def test_every_figure_has_a_caption_and_a_table_of_its_data(page):
    figures = re.findall(r"<figure>.*?</figure>", page, flags=re.DOTALL)
    assert figures
    for figure in figures:
        assert re.search(r"<figcaption>.{40,}?</figcaption>", figure, flags=re.DOTALL)
        assert re.search(r"<details>.*<table\b.*</details>", figure, flags=re.DOTALL)


def test_ids_are_unique_and_references_meet_one(page):
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    references = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', page)
    assert references
    assert {link or paint for link, paint in references} <= set(ids)


def test_drawings_take_font_and_colours_from_the_page(page):
    for drawing in drawings(page):
        assert "font-family" not in drawing
        assert "font:" not in drawing
        assert not re.search(r"(fill|stroke): #(?!fff)", drawing)
        assert "var(--ink)" in drawing


def test_every_colour_that_is_used_is_set_in_both_schemes(page):
    light, dark = page.split("prefers-color-scheme: dark")
    for name in set(re.findall(r"var\(--([\w-]+)\)", page)) - {"large", "small"}:
        assert f"--{name}:" in light.split("@media")[0], name
        assert f"--{name}:" in dark.split("box-sizing")[0], name


def test_numbers_in_a_drawing_are_the_measured_ones(passing, pages):
    drawing = drawings(pages["passing"])[0]
    for step in passing.checks[0].steps:
        assert f">{str(step.size).split()[0]}<" in drawing


def test_a_verdict_is_a_sign_and_a_word(pages):
    assert re.search(r"<h1>.*✓.*Contract kept", pages["passing"])
    assert re.search(r"<h1>.*✗.*Contract not kept", pages["failing"])
    for word, sign in (("pass", "✓"), ("fail", "✗"), ("inconclusive", "?")):
        assert re.search(rf"{re.escape(sign)}</span> {word}</span>", pages["failing"])


def test_hostile_names_are_shown_and_not_obeyed(make):
    names = {"student": "<b>&</b>", "onnx": "a|b`c`", "pte": "<script>x</script>"}
    report = make(labels=HOSTILE, names=names)
    page = to_html(report)
    assert "<script" not in page
    assert "<b>&" not in page
    assert "&lt;script&gt;x&lt;/script&gt;" in page
    assert "<script>x</script>" in "".join(Page(page).text)
    for drawing in drawings(page):
        ElementTree.fromstring(drawing)


def test_the_same_report_gives_the_same_bytes(passing, pages):
    assert to_html(passing) == pages["passing"]


def test_many_classes_are_cut_to_the_worst_and_the_best_and_that_is_said(make):
    page = to_html(make(labels=[f"class {i}" for i in range(100)], trained=False))
    assert "76 classes between the worst and the best are left out" in page


def test_what_was_not_measured_is_absent_or_said(make):
    report = make(targets=("qemu",), emulated=("qemu",), limits={}, trained=False, spread=False)
    page = to_html(report)
    titles = [text for tag, text in Page(page).headings if tag == "h2"]
    assert titles == ["Step by step", "Latency", "Quality", "Provenance"]
    assert "No latency was measured here." in page
    assert "emulated" in page
    assert "No contract" in page


def test_a_step_that_does_not_pay_is_named_in_sight(pages):
    shown = re.sub(r"<details>.*?</details>", "", pages["passing"], flags=re.DOTALL)
    assert "recovered: no gain over pruned that the intervals show" in shown


def test_a_control_is_grey_and_said_to_be_one(make):
    from edgekd.report.charts.roles import looks

    report = make(control=True)
    (check,) = report.checks
    look = looks(check)
    assert look["labels_only"].colour not in {
        one.colour for name, one in look.items() if name != "labels_only"
    }
    page = to_html(report)
    assert page.count('labels_only <span class="mark">(control)</span>') >= 5
    assert "in grey: controls" in page
    assert "Grey: controls." in page
    shown = re.sub(r"<details>.*?</details>", "", page, flags=re.DOTALL)
    assert "labels_only: no gain" not in shown


def test_a_page_without_controls_does_not_speak_of_them(pages):
    assert "control" not in pages["passing"]


def tables(page):
    """Return by caption each table's head and rows as text."""
    found = {}
    for table in re.findall(r"<table.*?</table>", page, flags=re.DOTALL):
        rows = [
            [" ".join(re.sub("<[^>]+>", " ", cell).split()) for cell in cells]
            for cells in (
                re.findall(r"<t[hd]\b[^>]*>(.*?)</t[hd]>", row, flags=re.DOTALL)
                for row in re.findall(r"<tr>(.*?)</tr>", table, flags=re.DOTALL)
            )
        ]
        found[re.search("<caption>(.*?)</caption>", table)[1]] = rows
    return found


@pytest.mark.parametrize("title", ["Latency on cpu, ms", "Start and memory on cpu"])
def test_a_latency_table_names_its_units_once_and_fits_the_column(page, title):
    head, *rows = tables(page)[title]
    assert not any(re.search(r"\b(ms|MiB)\b", cell) for row in rows for cell in row)
    assert any("ms" in text for text in [title, *head])
    least = [max(len(word) for row in rows for word in re.split(r" (?=\()", row[i]))
             for i in range(len(head))]  # fmt: skip
    padding, character = 16, 7.3
    assert sum(character * n + padding for n in least) <= 1060


def test_a_limit_far_beyond_all_programs_is_named_and_does_not_stretch_the_axis(make):
    page = to_html(make(limits={"latency_p90_ms": "<= 50"}))
    assert "limit of p90: 50 ms, further right" in page
    assert "allowed by the gates, up to 50 ms" in page
