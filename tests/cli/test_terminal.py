"""What a run says on a plain output, line by line."""

import json

import pytest

from edgekd.cli.terminal import renderer
from edgekd.pipeline.events import (
    RunDone,
    RunNotice,
    RunStarted,
    RunStopping,
    StageEpoch,
    StageFailed,
    StageKept,
    StageLeftOut,
    StageNotice,
    StageProgress,
    StageStarted,
    StageWaits,
)

BEGIN = RunStarted("demo", "cpu", "/store", ("teacher",), "/store/log")


def said(capsys, *events, as_json=False):
    with renderer(as_json) as listener:
        for event in (BEGIN, *events):
            listener(event)
    return capsys.readouterr().out


ODD = "[old] :warning: [/dev/x] [bold]"


def test_brackets_and_colons_stand_as_they_are(capsys):
    gate = {
        "name": "size", "program": ODD, "target": ODD, "limit": "1", "measured": None,
        "verdict": "fail", "reason": ODD,
    }  # fmt: skip
    done = RunDone(1, ODD, ODD, (ODD,), (gate,), (), 1.0)
    begin = RunStarted(ODD, "cpu", ODD, (ODD,), "/store/log")
    kept = StageKept(ODD, "ab", {"says": ODD, "result": ODD}, "")
    events = (
        begin, StageProgress(ODD, 1, 2, "resumed"),
        StageNotice(ODD, ODD), StageWaits(ODD), kept, StageFailed(ODD, ODD), done,
    )  # fmt: skip
    for event in events:
        out = said(capsys, StageStarted(ODD, "ab", (ODD,)), event)
        assert out.count("[") == 3 * out.count(ODD) > 0, out


def test_a_bar_shows_brackets_as_they_are(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    out = said(capsys, StageStarted(ODD, "ab", ()), StageProgress(ODD, 1, 2, ODD))
    assert f"▸ {ODD}" in out
    assert f"{ODD} 1 of 2" in out


def test_a_notice_names_its_stage(capsys):
    assert "! teacher: 3 pictures are twins" in said(
        capsys, StageNotice("teacher", "3 pictures are twins")
    )


def test_a_notice_of_the_run_stands_alone(capsys):
    assert "\n  ! track.mlflow: no answer.\n" in said(capsys, RunNotice("track.mlflow: no answer."))


@pytest.mark.parametrize("terminal", [False, True])
def test_numbers_for_trackers_do_not_reach_the_terminal(capsys, monkeypatch, terminal):
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", "200")
    numbers = {"samples_per_s": 123.0, "step/loss": 4.5, "step/terms/kd": 6.7}
    events = (
        StageStarted("teacher", "ab", ()), StageProgress("teacher", 1, 2, "resumed", numbers),
        StageEpoch("teacher", {"epoch": 1, "loss": 8.9}),
    )  # fmt: skip
    out = said(capsys, *events)
    assert "samples_per_s 123" in out
    assert not any(hidden in out for hidden in ("loss", "terms", "4.5", "6.7", "8.9"))
    assert '"step/terms/kd": 6.7' in said(capsys, *events, as_json=True)


def test_who_waits_for_another_run_says_so(capsys):
    out = said(capsys, StageWaits("teacher"))
    assert "teacher: is being made already; waiting" in out


@pytest.mark.parametrize(
    ("after_step", "when"), [(True, "after this step, with its state"), (False, "here")]
)
def test_being_asked_to_end_is_answered_with_what_comes(capsys, after_step, when):
    out = said(capsys, RunStopping(after_step))
    assert f"Ending {when}; what is finished is kept. Again to end now." in out


def test_a_training_that_goes_on_says_where_at_once(capsys):
    started = StageStarted("teacher", "ab", ("no earlier result",))
    out = said(capsys, started, StageProgress("teacher", 40, 180, "resumed"))
    assert "teacher: resumed 40 of 180" in out


def test_every_event_is_one_line_of_json(capsys):
    kept = StageKept("teacher", "ab", {"says": "größer"}, "2026-01-01T00:00:00+00:00")
    lines = said(capsys, kept, StageWaits("x"), RunStopping(False), as_json=True).splitlines()
    assert [json.loads(line)["event"] for line in lines] == [
        "run_started", "stage_kept", "stage_waits", "run_stopping",
    ]  # fmt: skip


def test_what_failed_is_said_at_the_end_with_why(capsys):
    failed = {"student.2": "training diverged.", "int8.2": "it rests on what failed: student.2."}
    done = RunDone(1, "runs/a", None, (), (), (), 1.0, failed=failed)
    out = said(capsys, StageLeftOut("int8.2", failed["int8.2"]), done)
    assert "- int8.2  left out" in out
    assert "Without a result:\n  student.2: training diverged.\n  int8.2: it rests on" in out
    assert "Nothing to do" not in out


def test_gates_of_what_was_made_are_not_called_those_of_all(capsys):
    gate = {"name": "size", "program": "p", "target": "t", "limit": "1", "measured": "0",
            "verdict": "pass", "reason": ""}  # fmt: skip
    done = RunDone(1, "runs/a", None, (), (gate,), (), 1.0, failed={"student.2": "diverged."})
    assert "All gates kept by what was made." in said(capsys, done)


def test_a_comparison_is_a_line_per_variant_and_how_it_was_tested(capsys):
    arm = {"setting": "", "control": False, "scores": [], "deviation": None, "difference": None,
           "p": None}  # fmt: skip
    score = {"value": 0.9, "unit": "share", "low": 0.88, "high": 0.92}
    arms = [
        arm | {"name": "student", "mean": score, "words": ""},
        arm | {"name": "student.no_kd", "control": True, "mean": None, "words": "failed"},
    ]
    compared = {"stage": "student", "measure": "accuracy", "tests": 0, "arms": arms}
    out = said(capsys, RunDone(0, "runs/a", None, (), (), (), 1.0, comparisons=[compared]))
    assert "student  accuracy on test     shown" in out
    assert "student  90.0 % [88.0, 92.0]" in out
    assert "no_kd    —                    failed" in out
    assert "Student's paired t-test." in out


def test_each_stage_at_work_has_a_bar_of_its_own(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    begun = [StageStarted(name, "ab", ()) for name in ("one", "two")]
    going = [StageProgress(name, 1, 2, "training") for name in ("one", "two")]
    out = said(capsys, *begun, *going)
    last = out[out.rindex("▸ one") :]
    assert "training 1 of 2" in last
    assert "▸ two" in last
