"""What a reader sees of a program that could not be measured."""

import json

import pytest
from report_evidence import HOST, ORIGIN, write_run

from edgekd.core.results import Measurements
from edgekd.report.build import build_report
from edgekd.report.evidence import read_evidence
from edgekd.report.html import to_html
from edgekd.report.markdown import to_markdown
from edgekd.report.schema.report import Report

HOW = "was killed by SIGSEGV while loading"
FAILURE = f"{HOW}\nIt wrote last:\nout of <memory>"
STATIC = ("size_mib", "size_ratio")


@pytest.fixture(scope="module")
def failed(tmp_path_factory, fits):
    """Return a function from names of programs that failed to the report of their run."""

    def made(*names, gates=True, **more):
        folder = tmp_path_factory.mktemp("failed")
        ancestors = write_run(folder, **more)
        path = ancestors["check"].folder / "measurements.json"
        found = json.loads(path.read_text())
        for one in found["measurements"]:
            if one["program"] in names:
                one |= {"failure": FAILURE, "valid": False, "restarts": [], "samples": ""}
                one["quantities"] = {k: v for k, v in one["quantities"].items() if k in STATIC}
        for gate in found["gates"]:
            if gate["program"] in names and gate["name"] not in STATIC:
                gate |= {"measured": None, "verdict": "fail", "reason": HOW}
        found["quality"] = [q for q in found["quality"] if q["program"] not in names]
        found["gates"] = found["gates"] if gates else []
        path.write_text(Measurements.model_validate(found).model_dump_json())
        document = build_report(read_evidence(ORIGIN, ancestors, ("check",), HOST))
        fits("report-2", document.model_dump_json())
        return document

    return made


def test_a_failed_candidate_breaks_the_contract_and_has_no_number(failed):
    report = failed("pte")
    assert report.headline.verdict == "fail"
    assert "1 measurement failed" in report.headline.words
    assert report.headline.program != "pte"
    row = next(row for row in report.checks[0].rows if row.program == "pte")
    assert row.failure == FAILURE
    assert not row.timing.samples
    assert not row.change
    assert "pte" not in {point.program for point in report.checks[0].trade_offs[0].points}
    assert Report.model_validate_json(report.model_dump_json()) == report


def test_people_read_what_happened_beside_the_contract_and_in_the_tables(failed):
    report = failed("pte")
    page, text = to_html(report), to_markdown(report)
    told = f"pte on cpu {HOW}. It wrote last: out of"
    for shown in (page, text):
        assert told in shown
        assert f"pte could not be measured: it {HOW}." in shown
        assert f"failed: {HOW}" in shown
        assert "<memory>" not in shown
    assert f"- ✗ fail, {told}" in text
    assert text.count(told) == 1
    judged = next(line for line in text.splitlines() if line.startswith("| Latency p90"))
    assert f"✗ fail, {HOW}" in judged


@pytest.mark.parametrize("gates", [True, False])
def test_a_report_of_nothing_but_failures_is_a_report(failed, gates):
    names = ("teacher", "student", "pruned", "recovered", "onnx", "pte")
    report = failed(*names, gates=gates)
    assert report.headline.verdict == "fail"
    assert "6 measurements failed" in report.headline.words
    assert f"It could not be measured on cpu: it {HOW}." in report.headline.sentence
    for shown in (to_html(report), to_markdown(report)):
        assert "No latency was measured here." in shown


def test_a_failed_reference_leaves_the_others_their_numbers(failed):
    report = failed("teacher", "student")
    page = to_html(report)
    assert f"teacher on cpu {HOW}" in page
    row = next(row for row in report.checks[0].rows if row.program == "onnx")
    assert "latency_p50_ms" in row.quantities


def test_several_sittings_are_told_and_marked(tmp_path):
    ancestors = write_run(tmp_path)
    path = ancestors["check"].folder / "measurements.json"
    found = json.loads(path.read_text())
    sittings = ["2026-11-20T10:00:00Z", "2026-11-23T09:07:12Z"]
    found["targets"][0] |= {"sittings": sittings}
    path.write_text(json.dumps(found))
    text = to_markdown(build_report(read_evidence(ORIGIN, ancestors, ("check",), HOST)))
    assert "taken in 2 sittings, begun 2026-11-20 10:00 UTC and 2026-11-23 09:07 UTC" in text
