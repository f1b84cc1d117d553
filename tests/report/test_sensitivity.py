"""Layers in the report: the document, the drawing, the table."""

import re
from types import SimpleNamespace

import pytest

from edgekd.core.quantity import Quantity
from edgekd.report.html import to_html
from edgekd.report.markdown import to_markdown
from edgekd.report.schema.report import Report
from edgekd.report.sections.sensitivity import layers_table
from edgekd.report.sensitivity import sensitivity


def layer(path, error, *, excluded=False):
    return {
        "path": path,
        "score": Quantity(0.95, "share", 0.93, 0.97, 400).as_dict(),
        "lost": Quantity(0.01, "share_difference", -0.002, 0.022, 400).as_dict(),
        "error": error,
        "excluded": excluded,
    }


def manifest(count=3, excluded=1, **budget):
    layers = [layer(f"stages.{i}.conv", 0.2 / (i + 1), excluded=i < excluded) for i in range(count)]
    fp32 = Quantity(0.96, "share", 0.94, 0.98, 400).as_dict()
    found = {"examples": 400, "fp32": fp32, "layers": layers, "between": layer("", 0.01)}
    return SimpleNamespace(facts={"measure": "accuracy", "sensitivity": found | budget})


def shown(passing, *manifests):
    stages = {f"int8_{place}": one for place, one in enumerate(manifests)}
    return passing.model_copy(update={"sensitivity": list(sensitivity(stages))})


KEPT = {"budget": 0.003, "kept": True, "tried": 7}


def test_only_stages_that_measured_layers_are_there(passing):
    assert [*sensitivity({"student": SimpleNamespace(facts={})})] == []
    assert "Layers in 8 bits" not in to_html(passing)
    assert "Layers in 8 bits" not in to_markdown(passing)


def test_the_document_reads_back_as_it_was(passing):
    report = shown(passing, manifest(**KEPT))
    assert Report.model_validate_json(report.model_dump_json()) == report


def test_the_table_has_every_layer_in_its_rank_and_what_lies_between(passing):
    (one,) = shown(passing, manifest(count=30, **KEPT)).sensitivity
    rows = [[str(cell) for cell in row] for row in layers_table(one).rows]
    assert rows[0] == [
        "stages.0.conv", "1", "fp32", "20.0 %", "95.0 % [93.0, 97.0]", "1.00 pt [-0.200, 2.20]",
    ]  # fmt: skip
    assert [row[2] for row in rows[1:]] == ["8 bits"] * 30
    assert rows[-1][:2] == ["between layers", "—"]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            manifest(**KEPT),
            "0.300 pt with 1 of 3 layers in fp32: stages.0.conv",
        ),
        (manifest(excluded=0, **KEPT), "keeps its budget of 0.300 pt with every layer in 8 bits"),
        (manifest(excluded=0, **KEPT | {"kept": False}), "cannot keep its budget of 0.300 pt"),
        (manifest(count=0), "has no layer of its own to rank"),
    ],
)
def test_it_says_what_became_of_the_budget(passing, found, said):
    report = shown(passing, found)
    assert said in to_html(report)
    assert said in to_markdown(report)


def test_the_drawing_has_a_bar_per_layer_and_says_which_it_leaves_to_the_table(passing):
    page = to_html(shown(passing, manifest(count=30, **KEPT)))
    drawings = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    wide, narrow = (d for d in drawings if "Layers of int8_0 in 8 bits alone" in d)
    for drawing in (wide, narrow):
        assert "20.0 %, fp32" in drawing
        assert "stages.23.conv" in drawing
        assert "stages.24.conv" not in drawing
        assert "between layers" in drawing
    assert "The 6 least sensitive ones are in the table alone." in page
    assert "Hollow: left in fp32." in page


def test_a_long_path_keeps_its_end(passing):
    found = manifest(count=1)
    found.facts["sensitivity"]["layers"][0]["path"] = "network." * 12 + "query"
    page = to_html(shown(passing, found))
    assert re.search(r">…[a-z.]*network\.query<", page)


def test_several_stages_have_a_heading_each(passing):
    text = to_markdown(shown(passing, manifest(), manifest()))
    assert "### int8\\_0" in text
    assert "### int8\\_1" in text
