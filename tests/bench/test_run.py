"""Whole benchmarks: what is measured, left behind, and ended with."""

import json
from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto

from edgekd.bench.asked import Asked
from edgekd.bench.run import bench
from edgekd.core.results import Measurements
from edgekd.devices.bench import Session
from edgekd.pipeline.records import RunFolders
from edgekd.report.html import to_html
from edgekd.report.junit import to_junit
from edgekd.report.markdown import to_markdown
from edgekd.report.schema.report import Report

from .conftest import write_model, write_targets


def run(place, asked):
    return bench(asked, RunFolders(place / "runs"), lambda *_: None)


@pytest.fixture(scope="module")
def ends(tmp_path_factory):
    """Several inputs of several types, one of which fixes another first dimension than the rest."""
    folder = tmp_path_factory.mktemp("ends")
    write_targets(folder)
    ports = (
        ("serving/x:0", TensorProto.FLOAT, ("n", 3)),
        ("state", TensorProto.FLOAT, (2, None, 4)),
        ("rate", TensorProto.INT64, ()),
        ("flag", TensorProto.BOOL, ("n",)),
    )
    asked = Asked(
        write_model(folder / "several.onnx", inputs=ports), targets=("fast",),
        shapes={"state": (2, 1, 4)}, values={"rate": (16000, 16000)},
        gates={"latency_p90_ms": "<= 1e9"},
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return run(folder, asked)


def test_a_file_with_several_inputs_is_measured_and_all_of_it_left(ends, fits):
    assert ends.exit_code == 0
    found = Measurements.model_validate_json((ends.folder / "measurements.json").read_text())
    (one,) = found.measurements
    assert one.quantities["latency_p50_ms"].n == sum(r.runs for r in one.restarts) >= 80
    raw = json.loads((ends.folder / one.samples).read_text())
    assert [len(restart) for restart in raw] == [r.runs for r in one.restarts]
    assert [(e.name, e.shape) for e in found.inputs] == [
        ("serving/x:0", [1, 3]), ("state", [2, 1, 4]), ("rate", []), ("flag", [1]),
    ]  # fmt: skip
    report = Report.model_validate_json((ends.folder / "report.json").read_text())
    assert report == ends.report
    fits("report-2", (ends.folder / "report.json").read_text())
    assert (ends.folder / "report.html").read_text() == to_html(report)
    assert (ends.folder / "report.md").read_text() == to_markdown(report)
    assert (ends.folder / "report.xml").read_text() == to_junit(report)


def test_the_report_leaves_out_what_there_is_nothing_for(ends):
    text = (ends.folder / "report.md").read_text()
    for absent in ("Step by step", "Quality", "Accuracy", "Pipeline", "Speed-up", "Trade-off"):
        assert absent not in text, absent
    for present in ("always 16000", "normal, mean 0, deviation 1, seed 0", "taken for the batch",
                    "edgekd bench", "✓ pass", "several.onnx", "Peak memory"):  # fmt: skip
        assert present in text, present


def test_the_run_is_listed_beside_others(ends):
    ((folder, record),) = RunFolders(ends.folder.parent).records()
    assert folder == ends.folder
    assert (record.name, record.exit_code) == ("bench-several", 0)
    assert [gate["verdict"] for gate in record.gates] == ["pass"]


def test_two_files_are_compared_in_turns_and_a_failed_gate_ends_with_1(write, place):
    asked = Asked(write(), against=write(), targets=("fast",),
                  gates={"latency_p90_ms": "<= 0.000001"})  # fmt: skip
    found = run(place, asked)
    assert found.exit_code == 1
    (check,) = found.report.checks
    row = next(row for row in check.rows if row.program != check.reference)
    assert row.quantities["speedup"].low is not None
    assert "speedup" not in next(r for r in check.rows if r is not row).quantities
    assert "A B then B A" in (found.folder / "report.md").read_text()


def test_operators_are_timed_where_that_is_asked_by_a_process_of_their_own(write, place):
    found = run(place, Asked(write(), targets=("fast",), profile=True))
    (one,) = found.report.checks[0].operators
    assert one.runs == 20
    assert [share.name for share in one.by_operator] == ["Identity"]
    assert one.by_operator[0].up_to == 1
    assert "--profile" in found.report.provenance.command
    assert "Where the time goes" in (found.folder / "report.md").read_text()


def test_operators_that_cannot_be_timed_are_a_note_and_no_failure(write, place, monkeypatch):
    real = Session._run

    def broken(self, do, names, settings, more, inputs=None):
        if do == "profile":  # no process can be had of so little memory
            settings = replace(settings, memory_mib=1)
        return real(self, do, names, settings, more, inputs)

    monkeypatch.setattr(Session, "_run", broken)
    found = run(place, Asked(write(), targets=("fast",), profile=True))
    assert found.exit_code == 0
    assert found.report.checks[0].operators == []
    (note,) = [n for n in found.report.checks[0].rows[0].notes if "operators" in n]
    assert note.startswith("its operators could not be timed: it ")


def test_throughput_is_measured_in_every_way_that_the_target_names(write, place):
    text = (place / "targets" / "fast.yaml").read_text()
    (place / "targets" / "fast.yaml").write_text(
        text.replace("profile: false", "profile: false, batches: [1, 3], streams: [1]")
    )
    found = run(place, Asked(write(), targets=("fast",), throughput=True, dims={"batch": 2}))
    (one,) = found.report.checks[0].throughput
    assert [(r.samples_a_call, r.streams, r.threads) for r in one.rates] == [(2, 1, 1), (6, 1, 1)]
    assert all(r.per_s and r.per_s.n == 2 and r.per_s.value > 6 for r in one.rates)
    assert "--throughput" in found.report.provenance.command
    text = (found.folder / "report.md").read_text()
    assert "At most " in text
    assert " a call, 1 stream, 1 thread each." in text
    assert "6 a call, 1 stream</text>" in (found.folder / "report.html").read_text()


def test_given_data_are_what_the_model_gets(write, place):
    np.savez(place / "d.npz", x=np.array([[1], [0], [3]]))
    ports = (("x", TensorProto.INT64, ("n", 1)),)
    found = run(place, Asked(write(inputs=ports, table=4), targets=("fast",), data=place / "d.npz"))
    assert found.exit_code == 0
    assert found.report.checks[0].inputs[0].calls == 3
    assert found.report.checks[0].inputs[0].origin == "given: d.npz"
    assert found.report.checks[0].operators == []


def test_a_model_that_fails_on_its_inputs_is_reported_and_ends_with_1(write, place):
    ports = (("x", TensorProto.INT64, ("n", 1)),)
    asked = Asked(write(inputs=ports, table=4), targets=("fast",), values={"x": (9, 9)})
    found = run(place, asked)
    assert found.exit_code == 1
    (row,) = found.report.checks[0].rows
    assert "in its first run" in row.failure
    assert "out of data bounds" in row.failure
    assert found.report.headline.verdict == "fail"


def test_a_target_that_does_not_answer_leaves_the_rest_and_ends_with_3(write, place):
    way = "transport: {kind: ssh, host: 127.0.0.1, port: 1}"
    text = (place / "targets" / "fast.yaml").read_text()
    (place / "targets" / "far.yaml").write_text(text.replace("transport: {kind: local}", way))
    found = run(place, Asked(write(), targets=("far", "fast")))
    assert found.exit_code == 3
    assert [m.name for m in found.report.checks[0].machines] == ["fast"]
    ((stage, why),) = [(one.stage, one.why) for one in found.report.failed]
    assert stage == "far"
    assert "cannot be reached: Connection refused" in why
    assert "Connection refused" in (found.folder / "report.html").read_text()
