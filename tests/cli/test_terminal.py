"""What a run says on a plain output, line by line."""

import json

import pytest

from edgekd.cli.terminal import renderer
from edgekd.pipeline.events import (
    RunDone,
    RunStarted,
    RunStopping,
    StageFailed,
    StageKept,
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
