from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgekd.core.results import Restart
from edgekd.core.signature import Port, Signature
from edgekd.devices.bench import Scores, Timing
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

    def __init__(self, target: Target, jobs: Sequence[Any]):
        self.jobs, self.asked = jobs, []
        self.machine: dict[str, str] = {}
        self.measured_at = "2026-01-01T00:00:00Z"

    def score(self, *_: Any) -> dict[str, Scores]:
        logits = np.eye(2, dtype=np.float32)
        return {job.name: Scores({"logits": logits}, "1", 1) for job in self.jobs}

    def time(self, names: Any, _: Any, __: Any, number: int) -> Any:
        self.asked.append(list(names))
        slower = {"open": number % 2}
        return {name: timing(1 + slower.get(name, 0), self.drift) for name in names}


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OnTarget:
    monkeypatch.setattr(on_target, "Session", FakeSession)
    (tmp_path / "p.onnx").write_bytes(b"x" * 10)
    program = Program("p.onnx", "onnxruntime", "fp32", SIGNATURE, {}, "m", "d", 1, {})
    roles = {"teacher": "reference", "open": "candidate", "closed": "candidate"}
    made = OnTarget(
        "cpu",
        Target.model_validate(
            {"description": "here", "transport": "local", "runtimes": ("onnxruntime",)}
        ),
        entries=[Entry(name, roles[name], tmp_path / "p.onnx", program) for name in NAMES],  # type: ignore[arg-type]
        inputs=Inputs(tmp_path, tmp_path, {"labels": torch.arange(2)}),
        settings=settle(Bench(), Bench(restarts=4, max_restarts=10)),
        limits={"latency_p50_ms": read_limit("<= 1.5"), "accuracy": read_limit(">= 0.99")},
    )
    made.score()
    return made


def test_only_what_is_open_is_measured_again_beside_the_reference_up_to_the_cap(
    trial: OnTarget,
) -> None:
    trial.time(print)
    assert trial.session.asked == 4 * [list(NAMES)] + 6 * [["teacher", "open"]]  # type: ignore[attr-defined]
    judged = {(gate.program, gate.name): gate.verdict for gate in trial.gates()}
    assert judged["open", "latency_p50_ms"] == "inconclusive"
    assert judged["closed", "latency_p50_ms"] == "pass"
    assert judged["closed", "accuracy"] == "inconclusive"  # two examples say little


def test_a_quality_gate_that_is_open_asks_for_no_more_timing(trial: OnTarget) -> None:
    trial.limits = {"accuracy": read_limit(">= 0.99")}
    trial.time(print)
    assert len(trial.session.asked) == 4  # type: ignore[attr-defined]


def test_drift_makes_a_measurement_invalid_and_its_gates_open(
    trial: OnTarget, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(FakeSession, "drift", 0.5)
    trial.time(print)
    gate = next(g for g in trial.gates() if (g.program, g.name) == ("closed", "latency_p50_ms"))
    assert gate.verdict == "inconclusive"
    assert "drifted" in gate.reason
    assert not any(measurement.valid for measurement in trial.measurements(tmp_path))


def test_the_reference_is_not_compared_with_itself(trial: OnTarget) -> None:
    trial.time(print)
    measured = {name: set(found.quantities) for name, found in trial.found.items()}
    compared = {"accuracy_drop", "agreement", "speedup", "size_ratio"}
    assert not compared & measured["teacher"]
    assert compared <= measured["open"]
