"""Events as trackers hear them: each stage in its place, closed however the run ends."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import edgekd
from edgekd.core.errors import RunInterruptedError, StageError
from edgekd.core.protocols.stage import Origin
from edgekd.pipeline import tracking
from edgekd.pipeline.events import (
    RunDone,
    RunNotice,
    StageDone,
    StageEpoch,
    StageFailed,
    StageKept,
    StageLeftOut,
    StageProgress,
    StageStarted,
)
from edgekd.pipeline.stage_run import StageRun
from edgekd.pipeline.store import Store

from .conftest import TINY

ORIGIN = Origin("tiny", "tiny.yaml", "", (), "edgekd run tiny.yaml")
ENTRY = {"epoch": 1, "learning_rate": 0.1, "loss": 2.0, "terms": {"kd": 2.0},
         "validation": {"accuracy": 0.5}}  # fmt: skip


class Recorder:
    """Keeps every call as a tuple."""

    def __init__(self, folder: Path, name: str, at: float):
        self.calls.append(("made", str(folder), name))

    calls: list = []  # noqa: RUF012

    def __getattr__(self, method):
        return lambda *given: self.calls.append((method, *given))


@pytest.fixture
def heard(monkeypatch):
    """Return all that a tracker was told."""
    monkeypatch.setattr(Recorder, "calls", [])
    monkeypatch.setattr(tracking, "TensorBoard", Recorder)
    return Recorder.calls


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return a folder in which the pipeline has run as far as the student, and what came of it."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.yaml").write_text(TINY)
    places = {"until": "student", "store": folder / "store"}
    done = edgekd.run(folder / "tiny.yaml", runs=folder / "runs", **places)
    return folder, done, edgekd.plan(folder / "tiny.yaml", **places)


@pytest.fixture
def following(finished, heard):
    """Return a function that passes events to a tracker, and what another listener heard."""
    folder, done, plan = finished
    plan = replace(plan, resolved=replace(plan.resolved, track={"tensorboard": "/tb"}))
    told = []

    def follow(*events, ends=None, store=None):
        store = Store(store or folder / "store")
        with tracking.tracked(plan, ORIGIN, store, told.append) as listener:
            for event in events:
                listener(event)
            if ends is not None:
                raise ends
            listener(RunDone(0, "runs/x", None, (), (), (), 1.0))

    follow.told, follow.done, follow.store = told, done, folder / "store"
    return follow


def of(heard, method, stage):
    return [call[2:] for call in heard if call[:2] == (method, stage)]


def states(heard):
    return {call[1]: call[2] for call in heard if call[0] == "end"}


STARTED = StageStarted("student", "ab", ("no earlier result",))


def test_without_trackers_the_listener_is_the_one_that_was_given(finished, heard):
    folder, _, plan = finished
    events = []
    given = events.append
    with tracking.tracked(plan, ORIGIN, Store(folder / "store"), given) as listener:
        assert listener is given
    assert heard == []


def test_a_stage_has_its_settings_curves_and_facts(following, heard):
    done = StageDone("student", "ab", 1.0, 1.0, {"says": "small", "parameters": 7})
    numbers = {"samples_per_s": 9.0, "step/loss": 2.0, "score": 0.5}
    following(
        STARTED, StageProgress("student", 20, 40, "training", numbers),
        StageEpoch("student", ENTRY), done,
    )  # fmt: skip
    ((settings, _),) = of(heard, "begin", "student")
    assert settings["kind"] == "distill"
    assert settings["objective[0].temperature"] == "4.0"
    assert settings["seed"] == "0"
    step, epoch, facts = of(heard, "numbers", "student")
    assert step[:2] == ({"step/samples_per_s": 9.0, "step/loss": 2.0}, 20)
    assert epoch[0]["epoch/validation/accuracy"] == 0.5
    assert epoch[1] == 1
    assert facts[:2] == ({"facts/parameters": 7.0}, 0)
    assert ("stage", {"why": "no earlier result"}) in [w[:2] for w in of(heard, "words", "student")]
    assert states(heard) == {"student": "done", "": "done"}
    assert heard[0] == ("made", "/tb", "tiny")
    assert following.told[0] == STARTED


def test_a_kept_stage_shows_the_epochs_that_it_was_trained_for(following, heard):
    kept = following.done.manifests["student"]
    following(StageKept("student", kept.key, kept.facts, "2026-01-01T00:00:00+00:00"))
    points = [call for call in of(heard, "numbers", "student") if "epoch/loss" in call[0]]
    assert [step for _, step, _ in points] == [1, 2]
    assert {at for *_, at in points} == {1767225600.0}
    assert {"epoch/terms/kd", "epoch/terms/cross_entropy"} <= points[0][0].keys()
    assert states(heard)["student"] == "kept"


@pytest.mark.parametrize("harm", ["absent", "no history"])
def test_a_kept_stage_without_a_history_is_no_trouble(following, heard, harm, tmp_path):
    shutil.copytree(following.store, tmp_path / "store")
    key = following.done.manifests["student"].key
    history = Store(tmp_path / "store").folder(key) / "history.json"
    history.write_text("[]") if harm == "no history" else history.unlink()
    kept = StageKept("student", key, {}, "2026-01-01T00:00:00+00:00")
    following(kept, store=tmp_path / "store")
    assert of(heard, "numbers", "student") == []
    assert states(heard) == {"student": "kept", "": "done"}


def test_a_training_that_goes_on_says_where(following, heard):
    following(STARTED, StageProgress("student", 20, 40, "resumed"))
    said = [rows for _, rows, _ in of(heard, "words", "student")]
    assert {"resumed": "after step 20 of 40"} in said


@pytest.mark.parametrize(
    ("ends", "state"),
    [
        (RunInterruptedError(""), "interrupted"),
        (KeyboardInterrupt(), "interrupted"),
        (StageError("diverged."), "failed"),
    ],
)
def test_what_is_open_when_the_run_ends_early_is_closed(following, heard, ends, state):
    with pytest.raises(type(ends)):
        following(STARTED, ends=ends)
    assert states(heard) == {"student": "interrupted", "": state}


def test_what_failed_or_was_left_out_says_why(following, heard):
    following(STARTED, StageFailed("student", "diverged."), StageLeftOut("teacher", "rests on it."))
    assert {"error": "diverged."} in [rows for _, rows, _ in of(heard, "words", "student")]
    assert {"error": "rests on it."} in [rows for _, rows, _ in of(heard, "words", "teacher")]
    assert states(heard) == {"student": "failed", "teacher": "left out", "": "done"}


def test_gates_and_the_report_are_told_at_the_end(following, heard, tmp_path):
    (tmp_path / "report.html").write_text("x")
    gate = {"name": "size", "program": "p", "target": "t", "limit": "<= 1", "verdict": "pass",
            "measured": {"value": 0.5, "unit": "MiB"}, "reason": ""}  # fmt: skip
    lacking = gate | {"name": "agreement", "measured": None, "verdict": "fail"}
    report = str(tmp_path / "report.html")
    following(RunDone(1, str(tmp_path), report, (), (gate, lacking), (), 1.0))
    assert ({"gates/size/p/t": 0.5}, 0) in [n[:2] for n in of(heard, "numbers", "")]
    assert {"size/p/t": "<= 1, measured 0.500 MiB: pass",
            "agreement/p/t": "<= 1, measured nothing: fail"} in [
        rows for about, rows, _ in of(heard, "words", "") if about == "gates"
    ]  # fmt: skip
    assert ("file", tmp_path / "report.html") in heard


def test_a_tracker_that_fails_is_told_once_and_ends_nothing(following, heard, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "/tb/x")

    monkeypatch.setattr(Recorder, "numbers", full, raising=False)
    following(STARTED, *[StageEpoch("student", ENTRY)] * 3)
    told = [event for event in following.told if isinstance(event, RunNotice)]
    assert [n.message for n in told] == [
        "track.tensorboard: OSError: [Errno 28] No space left on device: '/tb/x'. "
        "The run goes on, but nothing more of it is told there."
    ]
    assert isinstance(following.told[-1], RunDone)


def test_an_event_that_cannot_be_told_ends_the_tracking_and_not_the_run(following):
    following(STARTED, StageEpoch("student", {}))
    (notice,) = [event for event in following.told if isinstance(event, RunNotice)]
    assert notice.message.startswith("track.tensorboard: KeyError: 'loss'. The run goes on")


def test_a_wish_to_end_that_comes_while_something_is_told_ends_the_run(
    following, heard, monkeypatch
):
    def asked(_):
        raise RunInterruptedError("")

    monkeypatch.setattr(tracking, "of_epoch", asked)
    with pytest.raises(RunInterruptedError):
        following(STARTED, StageEpoch("student", ENTRY))
    assert states(heard) == {"student": "interrupted", "": "interrupted"}


def test_where_a_run_is_tracked_is_part_of_no_stage(stages, monkeypatch):
    monkeypatch.setattr("edgekd.track.options.Track.absent", lambda _: iter(()))
    monkeypatch.setattr("edgekd.track.options.Track.distributions", ["torch"])
    assert stages(TINY + "track: {tensorboard: tb, mlflow: {}}\n") == stages(TINY)


def test_an_epoch_crosses_the_channel_without_what_json_has_no_number_for():
    said = []
    run = SimpleNamespace(say=said.append)
    StageRun.epoch(run, ENTRY | {"terms": {"kd": float("nan"), "mine": float("-inf")}})
    told = {"answer": "epoch", "entry": ENTRY | {"terms": {"kd": None, "mine": None}}}
    assert said == [told]
