"""`edgekd plan --measure` as a process: an untrained student here, and what is printed."""

import json
import signal
import subprocess
import sys
import threading

import pytest

from edgekd.cli.rehearsals import _lines

TEXT = """\
name: small
threads: 1
task: {kind: image_classification, data: digits, train_examples: 256}
stages:
  teacher: {kind: teacher, model: {kind: depthwise, width: 8, blocks: [1]}, train: {epochs: 3}}
  student:
    kind: distill
    teacher: $teacher
    model: {kind: depthwise, width: 4, blocks: [1]}
    objective: [kd, cross_entropy]
    train: {epochs: 50, batch_size: 32}
  check:
    kind: validate
    programs: [$student]
    reference: $teacher
    bench: {mode: quick, restarts: 2, max_restarts: 2, min_runs: 40, min_s: 0.02, warmup_s: 0.02}
    gates: {accuracy_drop: "<= 0.05", latency_p50_ms: "<= 0.00001", size_mib: "<= 1"}
"""


def edgekd(*arguments, cwd):
    return subprocess.Popen(
        [sys.executable, "-m", "edgekd", *arguments],
        cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    (folder / "small.yaml").write_text(TEXT)
    process = edgekd("plan", "small.yaml", "--measure", "--json", cwd=folder)
    try:
        out, error = process.communicate(timeout=300)
    finally:
        process.kill()
    assert out, error
    return process.returncode, json.loads(out), folder


def test_a_student_that_can_never_be_fast_enough_ends_with_1(done):
    code, found, _ = done
    assert (code, found["exit_code"], found["verdict"]) == (1, 1, "out of reach")
    verdicts = {gate["name"]: gate["verdict"] for gate in found["gates"]}
    assert verdicts == {"latency_p50_ms": "fail", "size_mib": "pass"}
    assert found["not_judged"] == ["accuracy_drop"]


def test_the_untrained_programs_are_measured(done):
    _, found, _ = done
    assert [one["program"] for one in found["measured"]] == ["teacher", "student"]
    for one in found["measured"]:
        costs = one["quantities"]
        assert costs["latency_p50_ms"]["low"] <= costs["latency_p50_ms"]["value"]
        assert {"latency_p90_ms", "size_mib", "peak_rss_mib"} <= set(costs)
        assert "accuracy" not in costs


def test_fifty_epochs_are_told_from_one(done):
    _, found, _ = done
    parts = {part["stage"]: part for part in found["stages"]}
    assert parts["student"]["rests_on"].endswith("examples/s over 4 steps, 50 x 256")
    speed = float(parts["student"]["rests_on"].partition(" ")[0].replace(",", ""))
    assert parts["student"]["seconds"] >= 50 * 256 / speed * 0.9
    assert all(part["disk_bytes"] > 0 for part in parts.values())
    assert found["total"]["seconds"] == pytest.approx(sum(p["seconds"] for p in parts.values()))


def test_nothing_is_left_in_the_store(done):
    _, _, folder = done
    for room in ("results", "tmp", "unfinished", "latest"):
        assert not list((folder / ".edgekd" / room).iterdir())


def test_ctrl_c_ends_with_130_and_leaves_nothing(done):
    _, _, folder = done
    process = edgekd("plan", "small.yaml", "--measure", cwd=folder)
    late = threading.Timer(120, process.kill)  # a line is waited for without a limit of its own
    late.start()
    try:
        assert any("> teacher: rehearsed" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    finally:
        late.cancel()
        process.kill()
    assert process.returncode == 130
    assert "Interrupted while stage teacher was rehearsed; nothing of it is kept." in error
    assert not list((folder / ".edgekd" / "tmp").iterdir())


def test_it_is_printed_for_people(done):
    _, found, _ = done
    text = [str(line) for line in _lines(found)]
    assert text[1].split() == [
        "measured", "target", "p50", "p90", "speed-up", "size", "smaller", "peak", "memory",
    ]  # fmt: skip
    assert "  restarts is 2, below the 5 of a measurement for claims" in text
    assert any(line.startswith("latency_p50_ms  student") and "fail" in line for line in text)
    assert any(line.startswith("  in all") and "of disk at a time" in line for line in text)
    assert text[-1].startswith("1 of 2 budgets can never be met: latency_p50_ms of student on cpu.")


def test_what_is_kept_failed_or_holds_for_one_program_is_printed_so(done):
    _, found, _ = done
    kept, failed, *others = found["stages"]
    first, second = found["measured"]
    changed = found | {
        "stages": [
            kept | {"action": "keep"},
            failed | {"seconds": None, "disk_bytes": None, "rests_on": "its rehearsal failed"},
            *others,
        ],
        "measured": [first | {"notes": ["it is hot"]}, second | {"notes": [], "failure": "died"}],
        "failed": {"student": "it diverged."},
    }
    text = [str(line) for line in _lines(changed)]
    rows = [line.split() for line in text]
    assert ["teacher", "-", "-", "kept"] in rows
    assert ["teacher.outputs", "?", "?", "its", "rehearsal", "failed"] in rows
    assert "  it is hot (teacher on cpu)" in text
    assert "  student on cpu died" in text
    assert "  student failed: it diverged." in text
