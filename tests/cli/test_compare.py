"""`edgekd compare` on the folders that runs leave."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from edgekd.cli.compare import compare_and_show
from edgekd.cli.runs import show_report
from edgekd.core.errors import RequestError
from edgekd.pipeline.records import Record
from edgekd.report.across.schema import RunsCompared
from edgekd.report.schema.check import Check, Machine, Row, Step
from edgekd.report.schema.headline import Headline
from edgekd.report.schema.provenance import Provenance, StageRecord
from edgekd.report.schema.report import Report
from edgekd.report.schema.timing import Timing

PLACE = {"program": "onnx", "target": "cpu"}


def report(accuracy=(0.9, 0.88, 0.92), p50=1.0, verdict="pass", option=20, at="08"):
    """Return the report of a run with one candidate."""
    low, high = 0.9 * p50, 1.1 * p50
    bounds = {"low": accuracy[1], "high": accuracy[2]}
    quantities = {
        "accuracy": {"value": accuracy[0], "unit": "share", **bounds},
        "latency_p50_ms": {"value": p50, "unit": "ms", "low": low, "high": high},
        "size_mib": {"value": 2.0, "unit": "MiB"},
    }
    gate = {"name": "accuracy_drop", "limit": "<= 0.01", "measured": None, "verdict": verdict}
    size = {"value": 2.0, "unit": "MiB"}
    check = Check(
        stage="check", reference="", split="test", examples=900, quality_name="accuracy",
        machines=[Machine(
            name="cpu", description="", emulated=False, facts={"cpu": "x"}, measured_by={},
            measured_at=f"2026-11-23T{at}:00:00+00:00", marks=[],
        )],
        steps=[Step(
            program="onnx", role="candidate", control=False, before=None, runtime="onnxruntime",
            precision="fp32", parameters=1, file="m.onnx", digest=f"{p50}", size=size,
        )],
        rows=[Row(
            **PLACE, quantities=quantities, valid=True, notes=[], change="", gained=True,
            timing=Timing(samples=0, ecdf=[], start=None, file=""), reliability=[], per_class={},
        )],
        quantized=[], gates=[gate | PLACE | {"reason": ""}], inconclusive_allowed=False,
        trade_offs=[],
    )  # fmt: skip
    stage = StageRecord(
        name="student", kind="distill", key="1", inputs={}, says="", result="", seconds=1,
        cpu_seconds=1, started_at="", host={}, kept=False, seed=0,
        identity={"options": {"train": {"epochs": option}}},
    )  # fmt: skip
    head = Headline(verdict=verdict, words="w", sentence="s", program=None, target=None, figures=[])
    return Report(
        name="tiny", headline=head, checks=[check], failed=[], comparisons=[], training=[],
        provenance=Provenance(pipeline="", file="", sets=[], command="edgekd run tiny.yaml",
                              versions={"edgekd": "0.1"}, stages=[stage]),
    )  # fmt: skip


def leave(folder: Path, document=None):
    folder.mkdir(parents=True)
    if document is not None:
        (folder / "report.json").write_text(document.model_dump_json())
    record = Record(
        "tiny", "tiny.yaml", "edgekd run", f"2026-11-23T{len(folder.name):02}", 0, {}, {}, {}, []
    )
    (folder / "run.json").write_text(json.dumps(asdict(record)))
    return folder


@pytest.fixture
def runs(tmp_path):
    leave(tmp_path / "runs" / "old", report())
    leave(tmp_path / "runs" / "better", report((0.95, 0.94, 0.96), 0.5, option=30, at="09"))
    leave(tmp_path / "runs" / "worse", report(verdict="fail", at="10"))
    leave(tmp_path / "runs" / "bare")
    return tmp_path / "runs"


def test_it_prints_what_was_asked_for_what_came_of_it_and_ends_with_0(runs, capsys):
    assert compare_and_show(["old", "better"], None, runs, False) == 0
    out = capsys.readouterr().out
    for words in (
        "A  old (base): w", "In B, not as in A", "options.train.epochs: 20 -> 30 (student)",
        "A  90.0 % [88.0, 92.0]", "higher: 5.00 pt [2.76, 7.24]",
        "A  1.00 ms [0.900, 1.10]", "other times; intervals apart", "the same",
        "neither a ratio nor a", "edgekd bench NEW --against OLD --target cpu",
    ):  # fmt: skip
        assert words in out, words
    assert "faster" not in out
    assert max(map(len, out.splitlines())) <= 80


def test_a_gate_that_is_kept_no_more_ends_with_1_and_is_named(runs, capsys):
    assert compare_and_show(["old", "worse"], None, runs, False) == 1
    out = capsys.readouterr().out
    assert "✗ kept in A and no more: Accuracy lost of onnx on cpu: fail in B" in out
    assert compare_and_show(["worse", "old"], None, runs, False) == 0


def test_json_is_the_document_alone(runs, capsys):
    compare_and_show(["old", "better", "worse"], None, runs, True)
    found = RunsCompared.model_validate_json(capsys.readouterr().out)
    assert [run.name for run in found.runs] == ["old", "better", "worse"]


@pytest.mark.parametrize("ending", ["html", "md", "json"])
def test_a_file_is_written_in_the_form_of_its_ending(ending, runs, capsys):
    out = runs / "new" / f"c.{ending}"
    compare_and_show([str(runs / "old"), "better"], out, runs, False)
    assert "5.00 pt" in out.read_text() or RunsCompared.model_validate_json(out.read_text())
    assert capsys.readouterr().out.endswith(f"{out}\n")


@pytest.mark.parametrize(
    ("which", "out", "words"),
    [
        (["old"], None, "takes 2 to 26 runs, and was given 1"),
        (["old", "bettr"], None, "no run is named 'bettr'.\n  Did you mean 'better'?"),
        (["old", "bare"], None, "has no report.json"),
        (["old", "old"], None, "'old' is the same run as 'old'"),
        (["old", "better"], "x.pdf", "'.pdf' is no format of reports.\n  Use one of .html, .md"),
    ],
)  # fmt: skip
def test_a_wrong_request_says_what_is_wrong(which, out, words, runs):
    with pytest.raises(RequestError) as caught:
        compare_and_show(which, out and Path(out), runs, False)
    assert words in str(caught.value)


def test_a_run_by_its_name_and_by_its_path_is_one_run(runs):
    with pytest.raises(RequestError, match="is the same run as 'old'"):
        compare_and_show(["old", str(runs / ".." / "runs" / "old")], None, runs, False)


def test_reports_of_other_versions_are_told(runs):
    document = json.loads((runs / "old" / "report.json").read_text()) | {"schema_version": 1}
    (runs / "old" / "report.json").write_text(json.dumps(document))
    with pytest.raises(RequestError, match="has schema 1, and this edgekd reads schema 2"):
        compare_and_show(["old", "better"], None, runs, False)


def test_a_form_that_an_earlier_edgekd_did_not_leave_is_said_so(runs):
    with pytest.raises(RequestError, match=r"has no report\.xml\.\n  An earlier edgekd made"):
        show_report("old", runs / "x.xml", runs)
