"""What a result is kept under, and what makes a measurement be taken again."""

import json
from dataclasses import replace

import pytest

import edgekd
from edgekd.pipeline import plan as planning

from .conftest import TINY

MEASURED = (
    TINY
    + """\
  onnx: {kind: export, model: $student, runtime: onnxruntime}
  check:
    kind: validate
    programs: [$onnx]
    reference: $teacher
    bench: {mode: quick, restarts: 2, min_runs: 25, min_s: 0.05, warmup_s: 0.05}
    gates: {accuracy_drop: "<= 0.9"}
  report: {kind: report, of: [$check]}
"""
)
GATE = ['stages.check.gates.accuracy_drop="<= 0.8"']


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Return the folder of a pipeline that was run once, with its result."""
    folder = tmp_path_factory.mktemp("measured")
    (folder / "tiny.yaml").write_text(MEASURED)
    return folder, _run(folder)


def _run(folder, **more):
    return edgekd.run(folder / "tiny.yaml", store=folder / "store", runs=folder / "runs", **more)


def plan(folder, **more):
    return edgekd.plan(folder / "tiny.yaml", store=folder / "store", **more)


def measurements(folder):
    (found,) = (folder / "store" / "results").glob("*/measurements.json")
    return json.loads(found.read_text())


def test_threads_device_and_precision_count_where_something_is_computed(measured):
    folder, _ = measured
    identities = {step.stage.name: step.identity for step in plan(folder).steps}
    assert {"threads", "device", "precision"} <= identities["student"].keys()
    assert not {"threads", "device", "precision"} & identities["check"].keys()
    assert not {"threads", "device", "precision"} & identities["report"].keys()


def test_no_identity_holds_a_path_or_a_time(measured):
    folder, _ = measured
    for step in plan(folder).steps:
        assert str(folder) not in json.dumps(step.identity)
        assert '"checkpoint"' not in json.dumps(step.identity["options"])


def test_how_often_a_checkpoint_is_written_changes_no_result(measured):
    folder, _ = measured
    assert plan(folder, sets=["checkpoint.every_steps=1"]).to_run[0].stage.kind == "report"


def test_another_task_counts_where_its_data_is_read(measured):
    folder, _ = measured
    planned = plan(folder, sets=["task.train_examples=64"])
    assert planned.step("teacher").reasons == ["task.train_examples: 128 -> 64"]
    assert "check" in {step.stage.name for step in planned.to_run}


def test_another_machine_measures_again_and_why_names_what_differs(measured, monkeypatch):
    folder, _ = measured
    here = planning.this_machine()
    monkeypatch.setattr(planning, "this_machine", lambda: here | {"cpu": "another"})
    monkeypatch.setattr(planning, "features", lambda: f"{planning_features} new_flag")
    planned = plan(folder)
    assert [step.stage.name for step in planned.to_run] == ["check", "report"]
    assert planned.step("check").reasons == [
        f"machine.cpu: {here['cpu']} -> another",
        "machine.features differ in new_flag",
    ]


planning_features = planning.features()


def test_a_measurement_names_the_build_of_its_runtime(measured):
    folder, _ = measured
    libraries = plan(folder).step("check").identity["libraries"]
    assert "(build " in libraries["onnxruntime"]


def test_what_was_measured_is_measured_again_on_request_and_reaches_the_report(measured):
    folder, first = measured
    before = measurements(folder)
    assert list(_run(folder).ran) == []
    again = _run(folder, remeasure=True)
    assert list(again.ran) == ["check", "report"]
    after = measurements(folder)
    taken = [m["measured_at"] for m in (before["targets"][0], after["targets"][0])]
    assert taken[0] < taken[1]
    assert taken[1][:16].replace("T", " ") in (again.folder / "report.md").read_text()
    assert list(_run(folder).ran) == []
    assert first.gates == again.gates


def test_what_failed_to_be_measured_is_not_kept_but_tried_again(measured):
    folder, _ = measured
    step = plan(folder).step("check")
    failure = {"program": "onnx", "target": "cpu", "failure": "was killed by SIGSEGV"}
    kept = replace(step.kept, facts={**step.kept.facts, "failures": [failure]})
    kept.write(folder / "store" / "results" / step.key[:20])
    assert plan(folder).step("check").reasons == ["onnx on cpu failed and is tried again"]
    assert "check" in _run(folder).ran
    assert plan(folder).step("check").action == "keep"


def test_another_gate_judges_what_was_measured_before(measured):
    folder, _ = measured
    before = measurements(folder)
    result = _run(folder, sets=GATE)
    assert list(result.ran) == ["check", "report"]
    found = sorted((folder / "store" / "results").glob("*/measurements.json"))
    documents = [json.loads(path.read_text()) for path in found]
    assert len(documents) == 2
    assert {d["targets"][0]["measured_at"] for d in documents} == {
        before["targets"][0]["measured_at"]
    }
    assert {d["gates"][0]["limit"] for d in documents} == {"<= 0.9", "<= 0.8"}


OWN_MEASURE = '''
"""Right answers once more."""

from edgekd.core.kinds import measure


@measure(name="hits", unit="share", better="higher", bounds=(0, 1))
def hits(config, *, student_logits, labels):
    return (student_logits.argmax(-1) == labels).float()
'''


def test_a_measure_of_the_users_own_counts_where_things_are_measured(tmp_path):
    (tmp_path / "own.py").write_text(OWN_MEASURE)
    (tmp_path / "tiny.yaml").write_text(
        MEASURED.replace("seed: 0\n", "seed: 0\nplugins: [own.py]\n")
    )
    planned = plan(tmp_path)
    assert "own.py" in planned.step("check").identity["code"]
    assert "own.py" not in planned.step("student").identity["code"]
