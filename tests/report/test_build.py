import json
import re
from dataclasses import replace

import jsonschema
import pytest
from report_evidence import HOST, ORIGIN, write_run

from edgekd.report.build import build_report
from edgekd.report.evidence import read_evidence
from edgekd.report.markdown import to_markdown
from edgekd.report.schema.report import Report


def test_the_document_follows_its_own_schema_and_comes_back_the_same(passing):
    text = passing.model_dump_json()
    jsonschema.validate(json.loads(text), Report.model_json_schema(mode="serialization"))
    assert Report.model_validate_json(text) == passing


def test_the_document_is_closed(passing):
    document = json.loads(passing.model_dump_json()) | {"extra": 1}
    with pytest.raises(ValueError, match="extra"):
        Report.model_validate(document)


def test_the_same_folders_give_the_same_bytes(tmp_path):
    ancestors = write_run(tmp_path)
    once, again = (
        build_report(read_evidence(ORIGIN, ancestors, ("check",), HOST)).model_dump_json()
        for _ in range(2)
    )
    assert once == again


def test_whether_each_answer_was_right_comes_into_the_document(tmp_path):
    ancestors = write_run(tmp_path)
    file = ancestors["check"].folder / "measurements.json"
    found = json.loads(file.read_text())
    for number, one in enumerate(found["quality"]):
        one["right"] = f"bits of {number}"
    file.write_text(json.dumps(found))
    (check,) = build_report(read_evidence(ORIGIN, ancestors, ("check",), HOST)).checks
    told = {(row.program, row.target): row.right for row in check.rows}
    assert told == {(one["program"], one["target"]): one["right"] for one in found["quality"]}


def test_stages_stand_in_the_order_of_the_pipeline_with_key_time_and_inputs(passing):
    stages = passing.provenance.stages
    assert [s.name for s in stages] == [
        "teacher", "student", "pruned", "recovered", "int8", "teacher.onnx", "student.onnx",
        "pruned.onnx", "recovered.onnx", "onnx", "pte", "check",
    ]  # fmt: skip
    assert all(stage.key and stage.seconds > 0 and stage.seed == 0 for stage in stages)
    assert set(stages[1].inputs) == {"teacher"}
    assert stages[0].result == "96.0 % accuracy on validation"


def test_a_stage_of_another_task_than_the_runs_is_marked(tmp_path):
    ancestors = write_run(tmp_path)
    for name, task in {"teacher": "theirs", "student": "own", "check": "own"}.items():
        one = ancestors[name]
        identity = {**one.manifest.identity, "task": {"kind": task}}
        ancestors[name] = replace(one, manifest=replace(one.manifest, identity=identity))
    stages = build_report(read_evidence(ORIGIN, ancestors, ("check",), HOST)).provenance.stages
    marked = [s.name for s in stages if s.says.endswith(", of another task than the run's")]
    assert marked == ["teacher"]


def test_a_result_that_is_no_score_names_no_split(make):
    report = make(facts={"result": "contract kept"})
    assert report.provenance.stages[-1].result == "contract kept"


LIMITS = {"accuracy_drop": "<= 0.03", "size_mib": "<= 0.1"}


@pytest.mark.parametrize(("counted", "verdict"), [(0, "pass"), (2, "inconclusive")])
def test_what_the_stage_counted_against_the_contract_decides(make, counted, verdict):
    report = make(limits=LIMITS, facts={"gates_failed": counted})
    assert report.headline.verdict == verdict
    assert report.checks[0].inconclusive_allowed is (verdict == "pass")
    allowed = "Contract kept, 2 gates inconclusive and allowed"
    assert (report.headline.words == allowed) is (verdict == "pass")
    assert ("(allowed)" in to_markdown(report)) is (verdict == "pass")


def test_a_control_stands_last_and_apart(make):
    (check,) = make(control=True).checks
    assert [step.program for step in check.steps if step.control] == ["labels_only"]
    assert check.steps[-1].program == check.rows[-1].program == "labels_only"
    assert check.steps[-1].before == "teacher"
    assert next(step for step in check.steps if step.program == "student").before == "teacher"


def test_only_trained_stages_have_curves(passing):
    assert [training.stage for training in passing.training] == ["teacher", "student", "recovered"]


def test_what_training_took_is_told_where_it_is_known(passing):
    assert [t.stage for t in passing.training if t.cost] == ["teacher", "student"]
    text = to_markdown(passing)
    assert "What training took" in text
    assert re.search(
        r"\| student +\| +2,346 \| +4\.0 \| +90\.0 \| +6\.0 \| +0\.0123 \| +346 \| float32", text
    )
    untold = passing.model_copy(
        update={"training": [t.model_copy(update={"cost": None}) for t in passing.training]}
    )
    assert "What training took" not in to_markdown(untold)


def test_several_processes_are_told_where_there_were_some(passing):
    assert "Processes" not in to_markdown(passing)
    two = [
        t.model_copy(update={"cost": t.cost and t.cost.model_copy(update={"processes": 2})})
        for t in passing.training
    ]
    text = to_markdown(passing.model_copy(update={"training": two}))
    assert re.search(r"\| Stage +\| +Processes \| +Examples/s", text)
    assert re.search(r"\| student +\| +2 \| +2,346 \|", text)


def test_a_result_older_than_the_run_is_marked_as_kept(make):
    report = make(origin=replace(ORIGIN, started_at="2026-11-24T08:00:00+00:00"))
    assert report.checks[0].machines[0].marks == ["kept from an earlier run"]
    assert all(stage.kept for stage in report.provenance.stages)
    latency = next(f for f in report.headline.figures if f.label.startswith("Latency"))
    assert latency.marks == ["kept from an earlier run"]


def test_a_result_of_this_run_has_no_mark(passing):
    assert passing.checks[0].machines[0].marks == []


def test_latencies_of_another_machine_are_marked(make):
    report = make(host={"cores": "64"})
    assert report.checks[0].machines[0].marks == ["taken from another machine"]


def test_an_emulated_target_supports_no_claim_about_latency(make):
    report = make(targets=("qemu",), emulated=("qemu",), limits={})
    assert report.checks[0].machines[0].marks == ["emulated"]
    assert {figure.label for figure in report.headline.figures} == {
        "Accuracy", "Agreement with teacher", "Size",
    }  # fmt: skip
    assert " ms " not in report.headline.sentence
    assert report.checks[0].trade_offs == []
