"""Two runs beside each other: what is promised must be equal, of the rest it is told."""

from dataclasses import replace

import pytest

from edgekd.bundle.compare import compare, sentence
from edgekd.bundle.environment import Environment
from edgekd.core.quantity import Quantity
from edgekd.core.results import Measurements

NOTHING = Environment([], {"check": "it holds times", "report": "it holds times"}, frozenset())


@pytest.fixture
def compared(finished):
    """Return a function that compares the bundle with the run itself, changed."""
    text = (finished.result.folders["check"] / "measurements.json").read_bytes()
    own = Measurements.model_validate_json(text)

    def do(environment=NOTHING, result=finished.result, spoiled=(), **then):
        measurements = [
            m.model_copy(update={"quantities": {**m.quantities, **then}}) for m in own.measurements
        ]
        measured = {"check": own.model_copy(update={"measurements": measurements})}
        stages = []
        for stage in finished.bundle.stages:
            files = {
                name: d.model_copy(update={"sha256": "0" * 64}) if name in spoiled else d
                for name, d in stage.files.items()
            }
            stages.append(stage.model_copy(update={"files": files}))
        bundle = finished.bundle.model_copy(update={"stages": stages})
        rows = list(compare(bundle, measured, environment, result))
        return rows, sentence(rows, environment)

    return do


def test_a_run_agrees_with_itself(compared):
    rows, words = compared()
    assert not any(row.broken for row in rows)
    assert {row.status for row in rows if row.kind == "stage"} == {"equal", "-"}
    assert {row.status for row in rows if row.kind == "metric"} == {"equal", "overlap"}
    assert words == ("All as promised: 6 of 6 artifacts are promised byte for byte, and are equal.")


def test_another_file_breaks_the_promise_and_is_named(compared):
    rows, words = compared(spoiled=["onnx.onnx", "program.json"])
    broken = {row.stage: row.now for row in rows if row.broken}
    assert broken == {"onnx": "onnx.onnx, program.json", "teacher.onnx": "program.json"}
    assert words == "Not as promised: onnx (program), teacher.onnx (program)."


@pytest.mark.parametrize("change", ["one more", "one less"])
def test_a_file_more_or_less_breaks_the_promise_too(compared, finished, change):
    made = finished.result.manifests["onnx"]
    files = {**made.files, "more.bin": {"sha256": "0" * 64, "size": 0}}
    files = files if change == "one more" else {"program.json": made.files["program.json"]}
    manifests = {**finished.result.manifests, "onnx": replace(made, files=files)}
    rows, _ = compared(result=replace(finished.result, manifests=manifests))
    (broken,) = [row for row in rows if row.broken]
    assert (broken.stage, broken.status) == ("onnx", "differs")
    assert broken.now == ("more.bin" if change == "one more" else "onnx.onnx")


def test_many_broken_promises_are_counted(compared, finished):
    none = replace(finished.result, manifests={}, folders={})
    rows, words = compared(result=none)
    assert {row.status for row in rows} == {"absent"}
    assert sum(row.broken for row in rows) == 6
    assert words.endswith("onnx (program) and 1 more.")
    _, words = compared(Environment([], {}, frozenset()), none)
    assert words.endswith("and 3 more.")


def test_what_is_not_promised_is_told_and_no_failure(compared):
    reasons = dict(NOTHING.reasons) | {"int8": "other here: package numpy", "onnx": "rests on int8"}
    rows, words = compared(Environment([], reasons, frozenset()), spoiled=["onnx.onnx"])
    (row,) = [row for row in rows if row.stage == "onnx"]
    assert (row.status, row.broken, row.note) == ("differs", False, "not promised: rests on int8")
    assert words == (
        "All as promised: 4 of 6 artifacts are promised byte for byte, and are equal. "
        "Of what is not promised, 1 differ."
    )


def test_a_size_is_promised_where_the_bytes_of_every_program_are(compared):
    other = Quantity(9.0, "MiB")
    rows, _ = compared(size_mib=other)
    broken = {row.what.partition(" ")[0] for row in rows if row.broken}
    assert broken == {"size_mib"}
    reasons = dict(NOTHING.reasons) | {"onnx": "other here: package numpy"}
    rows, _ = compared(Environment([], reasons, frozenset()), size_mib=other)
    assert not any(row.broken for row in rows)


def test_nothing_promised_is_said_so(compared, finished):
    reasons = {stage.name: "made on cuda" for stage in finished.bundle.stages}
    _, words = compared(Environment([], reasons, frozenset()))
    assert words == "All as promised: 0 of 6 artifacts are promised byte for byte."


def test_a_stage_that_was_kept_says_so(compared, finished):
    rows, _ = compared(result=replace(finished.result, ran=["teacher"]))
    notes = {row.stage: row.note for row in rows if row.kind == "stage"}
    assert notes["teacher"] == ""
    assert notes["onnx"] == "kept, not run again"
    assert notes["check"] == "holds times, not compared by its bytes; kept, not run again"
