from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgekd.core.results import Restart, Sustained
from edgekd.core.signature import Port, Signature
from edgekd.devices.answers import Failure, Scores, Timing
from edgekd.devices.kept import Journal
from edgekd.devices.settings import settle
from edgekd.devices.target import Bench, Target
from edgekd.measures.contract import read_limit
from edgekd.runtimes.folder import Program
from edgekd.trial import on_target
from edgekd.trial.entry import Entry
from edgekd.trial.inputs import Inputs
from edgekd.trial.on_target import OnTarget

NAMES = ("teacher", "open", "closed")
SIGNATURE = Signature(
    (Port("x", "float32", ("batch", 2)),), (Port("logits", "float32", ("batch", 2)),)
)


def timing(latency: float, drift: float = 0.0) -> Timing:
    values = {"load_ms": 1, "first_ms": 1, "warmup_runs": 9, "runs": 20, "wall_s": 1, "cpu_s": 1}
    values |= {"peak_rss_mib": 9, "load_average": 0, "settled": True, "drift": drift}
    return Timing(Restart.model_validate(values), np.full(20, float(latency)), False, "1", ())


class FakeSession:
    """Answers at once; the program `open` is fast in one restart and slow in the next."""

    drift = 0.0
    fails_to_score: tuple[str, ...] = ()
    fails_at: Mapping[str, int] = {}
    """In which restart a program fails."""

    def __init__(self, target: Target, jobs: Sequence[Any], journal: Any, traced: bool):
        self.jobs, self.asked, self.sittings, self.traced = jobs, [], set(), traced
        self.machine: dict[str, str] = {}
        self.measured_at = "2026-01-01T00:00:00Z"

    def tell(self, told: Any) -> None:
        self.told = told

    def profile(self, name: str, *_: Any) -> Failure:
        return Failure("ended with exit status 1", ["first", "no clock"])

    def sustain(self, name: str, *_: Any) -> Sustained | Failure:
        self.asked.append([name])
        windows: list[Any] = []
        if name == "open":
            return Failure("was killed by SIGABRT while it was timed")
        return Sustained(seconds=10, windows=windows)

    def score(self, name: str, *_: Any) -> Scores | Failure:
        if name in self.fails_to_score:
            return Failure("was killed by SIGSEGV while loading", ["last", "words"])
        return Scores({"logits": np.eye(2, dtype=np.float32)}, "1", 1)

    def time(self, names: Any, _: Any, __: Any, number: int) -> Any:
        self.asked.append(list(names))
        slower = {"open": number % 2}
        found = {name: timing(1 + slower.get(name, 0), self.drift) for name in names}
        failing = {n for n, at in self.fails_at.items() if n in names and at == number}
        return found | dict.fromkeys(failing, Failure("was killed by SIGABRT while it was timed"))


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OnTarget:
    monkeypatch.setattr(on_target, "Session", FakeSession)
    (tmp_path / "p.onnx").write_bytes(b"x" * 10)
    program = Program("p.onnx", "onnxruntime", "fp32", SIGNATURE, {}, "m", "d", 1, {})
    roles = {"teacher": "reference", "open": "candidate", "closed": "candidate"}
    return OnTarget(
        "cpu",
        Target.model_validate(
            {"description": "here", "transport": "local", "runtimes": ("onnxruntime",)}
        ),
        entries=[Entry(name, roles[name], tmp_path / "p.onnx", program) for name in NAMES],  # type: ignore[arg-type]
        inputs=Inputs(tmp_path, tmp_path, {"labels": torch.arange(2)}),
        settings=settle(Bench(), Bench(restarts=4, max_restarts=10)),
        limits={"latency_p50_ms": read_limit("<= 1.5"), "accuracy": read_limit(">= 0.99")},
        journal=Journal(tmp_path / "journal"),
    )


def measure(trial: OnTarget) -> None:
    trial.score(print)
    trial.time(print)


def test_only_what_is_open_is_measured_again_beside_the_reference_up_to_the_cap(
    trial: OnTarget,
) -> None:
    measure(trial)
    assert trial.session.asked == 4 * [list(NAMES)] + 6 * [["teacher", "open"]]  # type: ignore[attr-defined]
    judged = {(gate.program, gate.name): gate.verdict for gate in trial.gates()}
    assert judged["open", "latency_p50_ms"] == "inconclusive"
    assert judged["closed", "latency_p50_ms"] == "pass"
    assert judged["closed", "accuracy"] == "inconclusive"  # two examples say little


def test_operators_are_timed_only_where_a_gate_asks_for_it(trial: OnTarget) -> None:
    asking = OnTarget(
        "cpu",
        trial.target,
        entries=trial.entries,
        inputs=trial.inputs,
        settings=trial.settings,
        limits={"undelegated_time": read_limit("<= 0.1")},
        journal=Journal(trial.inputs.examples / "other"),
    )
    assert (trial.session.traced, asking.session.traced) == (False, True)


def test_what_fails_beside_latencies_is_a_note_and_no_failure(
    trial: OnTarget, tmp_path: Path
) -> None:
    trial.settings = settle(Bench(), Bench(mode="quick", profile=True, sustained_s=10.0))
    trial.entries[2:] = [replace(trial.entries[2], role="along")]  # type: ignore[index]
    measure(trial)
    trial.more(print)
    assert trial.session.asked[-2:] == [["teacher"], ["open"]]  # type: ignore[attr-defined]
    teacher, faulty, along = trial.measurements(tmp_path)
    assert (teacher.failure, faulty.failure, faulty.profile, faulty.sustained) == (
        "",
        "",
        None,
        None,
    )
    assert teacher.sustained is not None
    assert faulty.notes[-2:] == [
        "its operators could not be timed: it ended with exit status 1 no clock",
        "it could not run for long: it was killed by SIGABRT while it was timed",
    ]
    assert along.sustained is None


def test_a_quality_gate_that_is_open_asks_for_no_more_timing(trial: OnTarget) -> None:
    trial.limits = {"accuracy": read_limit(">= 0.99")}
    measure(trial)
    assert len(trial.session.asked) == 4  # type: ignore[attr-defined]


def test_drift_makes_a_measurement_invalid_and_its_gates_open(
    trial: OnTarget, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(FakeSession, "drift", 0.5)
    measure(trial)
    gate = next(g for g in trial.gates() if (g.program, g.name) == ("closed", "latency_p50_ms"))
    assert gate.verdict == "inconclusive"
    assert "drifted" in gate.reason
    assert not any(measurement.valid for measurement in trial.measurements(tmp_path))


def test_the_reference_is_not_compared_with_itself(trial: OnTarget) -> None:
    measure(trial)
    measured = {name: set(found.quantities) for name, found in trial.found.items()}
    compared = {"accuracy_drop", "agreement", "speedup", "size_ratio"}
    assert not compared & measured["teacher"]
    assert compared <= measured["open"]


def test_a_program_that_fails_leaves_the_turns_and_the_others_go_on(
    trial: OnTarget, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(FakeSession, "fails_at", {"closed": 2})
    trial.limits |= {"speedup": read_limit(">= 0.1"), "size_mib": read_limit("<= 1")}
    measure(trial)
    asked = trial.session.asked  # type: ignore[attr-defined]
    assert asked[:4] == 3 * [list(NAMES)] + [["teacher", "open"]]
    found = {m.program: m for m in trial.measurements(tmp_path)}
    assert found["closed"].failure == "was killed by SIGABRT while it was timed"
    assert not found["closed"].valid
    assert not found["closed"].restarts
    assert not found["closed"].samples
    assert not {"latency_p50_ms", "load_ms", "speedup"} & set(found["closed"].quantities)
    assert not found["open"].failure
    judged = {(gate.program, gate.name): gate for gate in trial.gates()}
    for name in ("latency_p50_ms", "speedup"):
        assert judged["closed", name].verdict == "fail"
        assert "SIGABRT" in judged["closed", name].reason
    assert judged["closed", "accuracy"].measured is not None  # its answers came before
    assert judged["closed", "size_mib"].verdict == judged["open", "speedup"].verdict == "pass"


def test_what_is_compared_with_a_failed_reference_fails_with_its_reason(
    trial: OnTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeSession, "fails_at", {"teacher": 5})
    trial.limits |= {"speedup": read_limit(">= 0.1"), "accuracy_drop": read_limit("<= 0.9")}
    measure(trial)
    judged = {(gate.program, gate.name): gate for gate in trial.gates()}
    assert judged["open", "speedup"].verdict == judged["closed", "speedup"].verdict == "fail"
    assert judged["open", "speedup"].reason == "teacher was killed by SIGABRT while it was timed"
    assert judged["closed", "latency_p50_ms"].verdict == "pass"
    assert judged["closed", "accuracy_drop"].measured is not None


def test_where_nothing_can_be_scored_there_is_still_a_result(
    trial: OnTarget, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(FakeSession, "fails_to_score", NAMES)
    measure(trial)
    assert not trial.session.asked  # type: ignore[attr-defined]
    assert {gate.verdict for gate in trial.gates()} == {"fail"}
    for measurement in trial.measurements(tmp_path):
        assert measurement.failure.splitlines()[-2:] == ["last", "words"]
        assert {"size_mib"} <= set(measurement.quantities) <= {"size_mib", "size_ratio"}
    assert not list(trial.quality())


def test_answers_that_are_no_numbers_are_a_failure(
    trial: OnTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Scores({"logits": np.array([[0, np.nan], [1, 0]], np.float32)}, "1", 1)
    monkeypatch.setattr(FakeSession, "score", lambda *_: wrong)
    measure(trial)
    assert {gate.reason for gate in trial.gates()} == {
        "gave no number as 'logits' for 1 of 2 examples"
    }
