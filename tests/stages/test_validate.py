import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from pydantic import ValidationError

from edgekd.core.checkpoint import Checkpoint
from edgekd.core.errors import StageError, UnreachableError
from edgekd.core.needs import ALONE, Hands
from edgekd.core.protocols.task import Task
from edgekd.core.refs import Ref, UseTask
from edgekd.core.results import Measurements
from edgekd.core.signature import Port, Signature
from edgekd.devices.bench import Session
from edgekd.runtimes.folder import Program, save_program
from edgekd.stages.validate import Validate, check, validate

CLASSES = ["cat", "dog", "fox"]
QUICK = {"mode": "quick", "restarts": 2, "max_restarts": 2, "warmup_s": 0.02, "min_s": 0.02}
CPU = {"description": "here", "transport": {"kind": "local"}, "runtimes": ("onnxruntime",)}


@dataclass
class Tokens:
    """Two integer columns in, one score per class out; the first says the class."""

    quality: tuple[str, ...] = ("accuracy",)
    sizes: Mapping[str, int] = field(default_factory=lambda: {"test": 90, "validation": 30})

    def size(self, split: str) -> int:
        return self.sizes[split]

    def batches(self, split: str, batch_size: int, **_: Any) -> Iterator[dict[str, torch.Tensor]]:
        ids = torch.arange(self.sizes[split])
        for part in ids.split(batch_size):
            yield {"word": part % 3, "other": part * 0, "labels": part % 3, "ids": part}


SIGNATURE = Signature(
    (Port("word", "int64", ("batch",)), Port("other", "int64", ("batch",))),
    (Port("logits", "float32", ("batch", 3)),),
)


def write_program(folder: Path, table: np.ndarray, output: str = "logits") -> None:
    """Write a program that looks scores up in a table by the sum of its two inputs."""
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["word", "other"], ["index"]),
            helper.make_node("Gather", ["table", "index"], [output], axis=0),
        ],
        "lookup",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch"])
            for name in ("word", "other")
        ],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(table.astype(np.float32), "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    folder.mkdir()
    onnx.save(model, str(folder / "program.onnx"))
    signature = Signature(SIGNATURE.inputs, (Port(output, "float32", ("batch", 3)),))
    save_program(
        folder,
        Program(
            "program.onnx", "onnxruntime", "fp32", signature, {"labels": CLASSES}, "m", "d", 9, {}
        ),
    )


@dataclass
class FakeRun:
    root: Path
    targets: Mapping[str, Any]
    task: Any = field(default_factory=Tokens)
    said: list[str] = field(default_factory=list)
    name: str = "check"
    seed: int = 0
    device: str = "cpu"
    ancestors: Mapping[str, Any] = field(default_factory=dict)
    origin: Any = None
    checkpoint: Checkpoint = field(default_factory=Checkpoint)

    def stop_asked(self) -> bool:
        return False

    @property
    def out(self) -> Path:
        return self.root / "out"

    @property
    def unfinished(self) -> Path:
        return self.root / "unfinished"

    def notice(self, message: str) -> None:
        self.said.append(message)

    def input(self, ref: Ref) -> Path:
        return self.root / ref.stage

    def progress(self, done: int, total: int, what: str, **_: float) -> None:
        self.said.append(what)

    def epoch(self, entry: Mapping[str, Any]) -> None:
        raise AssertionError("nothing is trained here")


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    (tmp_path / "out").mkdir()
    (tmp_path / "unfinished").mkdir()
    write_program(tmp_path / "teacher", 5 * np.eye(3))
    worse = 5 * np.eye(3)
    worse[2] = worse[1]  # every fox is taken for a dog
    write_program(tmp_path / "student", worse)
    write_program(tmp_path / "copy", 4 * np.eye(3))
    return FakeRun(tmp_path, {"cpu": CPU})


def options(**more: Any) -> Validate:
    chosen = {"programs": ("$student", "$copy"), "reference": "$teacher", "bench": QUICK}
    return Validate.model_validate(chosen | more)


def read(run: FakeRun) -> Measurements:
    return Measurements.model_validate_json((run.out / "measurements.json").read_text())


def test_it_scores_what_the_programs_answer_and_judges_the_candidates(run: FakeRun) -> None:
    gates = {
        "accuracy_drop": "<= 0.1",
        "agreement": ">= 0.9",
        "size_mib": "<= 1",
        "load_ms": "< 9e9",
    }
    facts = validate(options(gates=gates), run)
    found = read(run)
    assert [program.name for program in found.programs] == ["teacher", "student", "copy"]
    by_name = {m.program: m.quantities for m in found.measurements}
    assert by_name["teacher"]["accuracy"].value == 1
    assert by_name["student"]["accuracy"].value == pytest.approx(2 / 3)
    assert by_name["student"]["accuracy_drop"].value == pytest.approx(1 / 3)
    assert by_name["copy"]["agreement"].value == 1
    assert by_name["copy"]["ece"].value == pytest.approx(1 - np.exp(4) / (np.exp(4) + 2), abs=1e-5)
    verdicts = {(gate.program, gate.name): gate.verdict for gate in found.gates}
    assert verdicts["student", "accuracy_drop"] == verdicts["student", "agreement"] == "fail"
    assert verdicts["copy", "accuracy_drop"] == verdicts["copy", "size_mib"] == "pass"
    assert verdicts["copy", "load_ms"] == "pass"
    assert not {program for program, _ in verdicts} & {"teacher"}
    assert facts["gates_failed"] == sum(v != "pass" for v in verdicts.values()) == 2
    assert {row["name"] for row in facts["gates"]} == set(gates)
    json.dumps(facts)


def test_every_raw_sample_is_kept_by_restart(run: FakeRun) -> None:
    validate(options(programs=("$copy",)), run)
    for measurement in read(run).measurements:
        raw = json.loads((run.out / measurement.samples).read_text())
        assert [len(restart) for restart in raw] == [r.runs for r in measurement.restarts]
        assert measurement.quantities["latency_p50_ms"].n == sum(map(len, raw))
        assert all(restart.peak_rss_mib > 1 for restart in measurement.restarts)
    machine = read(run).targets[0].machine
    assert {"cpu", "cores", "onnxruntime", "threads"} <= set(machine)


def test_quality_by_class_and_by_confidence_is_kept(run: FakeRun) -> None:
    validate(options(programs=("$student",)), run)
    student = next(q for q in read(run).quality if q.program == "student")
    assert {name: q.value for name, q in student.per_class.items()} == {
        "cat": 1,
        "dog": 1,
        "fox": 0,
    }
    assert sum(bin_.count for bin_ in student.reliability) == 90


def test_a_program_without_logits_is_timed_and_has_no_accuracy(run: FakeRun) -> None:
    write_program(run.root / "embedder", np.eye(3), output="embedding")
    facts = validate(options(programs=("$embedder",), gates={"accuracy": ">= 0.5"}), run)
    found = next(m for m in read(run).measurements if m.program == "embedder")
    assert "latency_p50_ms" in found.quantities
    assert "accuracy" not in found.quantities
    assert facts["gates"][0]["verdict"] == "inconclusive"
    assert "student_logits" in facts["gates"][0]["reason"]


def test_an_emulated_target_is_scored_and_never_timed(run: FakeRun) -> None:
    run.targets = {"cpu": CPU, "fake": CPU | {"emulated": True}}
    gates = {"latency_p50_ms": "<= 1000", "first_ms": {"fake": "<= 1000"}, "accuracy": ">= 0.1"}
    validate(options(programs=("$copy",), targets=("cpu", "fake"), gates=gates), run)
    found = read(run)
    emulated = next(m for m in found.measurements if m.target == "fake")
    assert "accuracy" in emulated.quantities
    assert "latency_p50_ms" not in emulated.quantities
    judged = {(gate.target, gate.name): gate for gate in found.gates}
    assert ("fake", "latency_p50_ms") not in judged
    assert judged["fake", "first_ms"].verdict == "inconclusive"
    assert "emulated" in judged["fake", "first_ms"].reason
    assert judged["cpu", "latency_p50_ms"].verdict == "pass"


def test_a_program_is_compared_with_the_reference_in_turns(run: FakeRun) -> None:
    facts = validate(options(programs=("$copy",), gates={"speedup": ">= 0.01"}), run)
    assert facts["gates"][0]["verdict"] == "pass"
    assert "[" in facts["gates"][0]["measured"]


def digits() -> Task:
    """Return a task that can be asked what it supplies."""
    options = {"kind": "image_classification", "data": "digits"}
    task: Task = UseTask.model_validate(options).build()
    return task


@dataclass
class FakePreview:
    """Knows the runtime of each program, and one target."""

    runtimes: Mapping[str, str]
    task: Any = field(default_factory=digits)
    targets: Mapping[str, Any] = field(
        default_factory=lambda: {"pi": CPU | {"runtimes": ("executorch",)}}
    )
    hands: Hands = ALONE

    def task_of(self, ref: Ref) -> Any:
        return self.task

    def model(self, ref: Ref) -> None:
        return None

    def runtime(self, ref: Ref) -> str | None:
        return self.runtimes.get(ref.stage)

    def kind(self, ref: Ref) -> None:
        return None

    def makes(self, ref: Ref) -> str:
        return "model"

    def options(self, ref: Ref) -> None:
        return None

    def transform(self, ref: Ref) -> None:
        return None


def test_a_plan_tells_every_program_that_a_target_cannot_run() -> None:
    runtimes = {"teacher": "onnxruntime", "pruned": "onnxruntime", "copy": "executorch"}
    config = options(programs=("$copy",), along=("$pruned",), targets=("pi", "elsewhere"))
    found = list(check(config, FakePreview(runtimes)))
    assert [problem.path for problem in found] == ["reference", "along[0]"]
    assert "$teacher needs onnxruntime, which target 'pi' lacks" in found[0].message
    assert not list(check(config, FakePreview(dict.fromkeys(runtimes, "executorch"))))
    assert not list(check(config, FakePreview({})))  # what is unknown is reported elsewhere


def test_a_target_without_the_runtime_is_refused_before_anything_is_measured(run: FakeRun) -> None:
    run.targets = {"cpu": CPU | {"runtimes": ("executorch",)}}
    with pytest.raises(StageError, match=r"needs onnxruntime, which target 'cpu' lacks"):
        validate(options(), run)


def test_a_program_that_cannot_be_loaded_fails_its_gates_and_the_others_are_judged(
    run: FakeRun,
) -> None:
    (run.root / "copy" / "program.onnx").write_bytes(b"nothing of the kind")
    facts = validate(options(gates={"accuracy": ">= 0.1", "load_ms": "< 9e9"}), run)
    failed = next(m for m in read(run).measurements if m.program == "copy")
    assert failed.happened == "ended with exit status 1 while loading"
    assert "no ONNX file" in failed.failure
    verdicts = {(gate.program, gate.name): gate for gate in read(run).gates}
    assert verdicts["copy", "accuracy"].verdict == verdicts["copy", "load_ms"].verdict == "fail"
    assert verdicts["copy", "load_ms"].reason == failed.happened
    assert (
        verdicts["student", "accuracy"].verdict == verdicts["student", "load_ms"].verdict == "pass"
    )
    assert facts["gates_failed"] == 2
    assert facts["failures"][0]["program"] == "copy"
    assert "copy on cpu ended with exit status 1 while loading" in run.said


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what targets are asked to do, as it happens."""
    asked: list[str] = []
    do = Session._run

    def noted(self: Session, what: str, names: Any, *more: Any) -> Any:
        asked.append(f"{what} {' '.join(names)}")
        return do(self, what, names, *more)

    monkeypatch.setattr(Session, "_run", noted)
    return asked


def test_an_interrupted_stage_goes_on_with_what_it_had_not_measured(
    run: FakeRun, jobs: list[str]
) -> None:
    class Interrupted(FakeRun):
        def progress(self, done: int, total: int, what: str, **_: float) -> None:
            if what.startswith("timing") and done == 1:
                raise KeyboardInterrupt

    ended = Interrupted(run.root, run.targets)
    with pytest.raises(KeyboardInterrupt):
        validate(options(programs=("$copy",)), ended)
    assert jobs == ["score teacher", "score copy", "measure teacher copy"]
    assert {path.name for path in run.unfinished.iterdir()} == {"measured"}
    jobs.clear()
    validate(options(programs=("$copy",)), run)
    assert jobs == ["identify copy", "measure teacher copy"]
    assert all(len(m.restarts) == 2 for m in read(run).measurements)


def test_a_target_that_is_not_reached_leaves_what_another_measured(
    run: FakeRun, jobs: list[str]
) -> None:
    way = {"kind": "ssh", "host": "127.0.0.1", "port": 1}
    run.targets = {"far": CPU | {"transport": way}, "cpu": CPU}
    with pytest.raises(UnreachableError, match="cannot be reached: Connection refused"):
        validate(options(programs=("$copy",), targets=("far", "cpu")), run)
    assert jobs == ["score teacher", "score copy", *2 * ["measure teacher copy"]]
    jobs.clear()
    run.targets = {"far": CPU, "cpu": CPU}
    validate(options(programs=("$copy",), targets=("far", "cpu")), run)
    assert sorted(jobs) == sorted(
        ["identify copy", "score teacher", "score copy", *2 * ["measure teacher copy"]]
    )
    assert [target.name for target in read(run).targets] == ["far", "cpu"]


def test_operators_are_timed_last_in_processes_of_their_own(run: FakeRun, jobs: list[str]) -> None:
    validate(options(programs=("$copy",), bench=QUICK | {"profile": True}), run)
    assert jobs[-3:] == ["measure teacher copy", "profile teacher", "profile copy"]
    assert all(m.profile and m.profile.operators for m in read(run).measurements)
    assert all(r.pss_mib and r.pss_mib > 1 for m in read(run).measurements for r in m.restarts)
    ready = read(run).preparing
    assert ready is not None
    assert 0 < ready.lowest_ms <= ready.median_ms <= ready.highest_ms
    jobs.clear()
    validate(options(programs=("$copy",)), run)
    assert jobs == ["identify copy"]  # what was timed before does not hang on it
    assert [m.profile for m in read(run).measurements] == [None, None]


def test_other_gates_are_judged_without_measuring_again(run: FakeRun, jobs: list[str]) -> None:
    validate(options(programs=("$copy",), gates={"load_ms": "< 9e9"}), run)
    first = read(run)
    jobs.clear()
    facts = validate(options(programs=("$copy",), gates={"load_ms": "< 1e-9"}), run)
    assert jobs == ["identify copy"]
    assert facts["gates_failed"] == 1
    assert read(run).measurements == first.measurements
    assert read(run).targets == first.targets


@pytest.mark.parametrize(
    ("gates", "place", "text"),
    [
        ({"latncy_p50_ms": "<= 5"}, ("gates", "latncy_p50_ms"), "Did you mean 'latency_p50_ms'"),
        ({"latency_p50_ms": 5}, ("gates", "latency_p50_ms"), "expected <=, <, >= or >"),
        ({"accuracy": ">= 95"}, ("gates", "accuracy"), '">= 0.95"'),
        ({"accuracy": {"cpu": ">= 2"}}, ("gates", "accuracy", "cpu"), "between 0 and 1"),
        ({"accuracy": {"pi": ">= 0.5"}}, (), "names the target 'pi'"),
    ],
)
def test_a_gate_that_cannot_be_meant_is_refused_at_its_place(
    gates: dict[str, Any], place: tuple[str, ...], text: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        options(gates=gates)
    (error,) = refused.value.errors()
    assert error["loc"] == place
    assert text in error["msg"]


def test_a_program_has_one_part_in_the_comparison() -> None:
    with pytest.raises(ValidationError, match=r"'\$copy' is named twice"):
        options(along=("$copy",))
