import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from edgekd.core.quiet import quiet
from edgekd.core.results import Sustained
from edgekd.core.signature import Port, Signature
from edgekd.devices.answers import Failure, Scores, Streamed, Timing
from edgekd.devices.bench import Session
from edgekd.devices.job import Job
from edgekd.devices.kept import Journal
from edgekd.devices.settings import Settings, settle
from edgekd.devices.target import Bench, Target
from edgekd.runtimes.ort_format import convert

SHORT = settle(Bench(), Bench(mode="quick", warmup_s=0.05, min_s=0.05, min_runs=20, timeout_s=60.0))
ONE = Signature((Port("x", "float32", ("batch", 4)),), (Port("y", "float32", ("batch", 4)),))


def here(*runtimes: str) -> Target:
    return Target.model_validate(
        {"description": "here", "transport": "local", "runtimes": runtimes}
    )


def onnx_program(folder: Path, *nodes: Any, inputs: list[Any], outputs: list[Any]) -> Path:
    folder.mkdir()
    graph = helper.make_graph(list(nodes), "g", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(folder / "program.onnx"))
    return folder / "program.onnx"


def floats(name: str, *shape: int | str) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    folder = tmp_path / "rows"
    folder.mkdir()
    np.save(folder / "x.npy", np.arange(28, dtype=np.float32).reshape(7, 4) - 10)
    return folder


@pytest.fixture
def relu(tmp_path: Path) -> Job:
    node = helper.make_node("Relu", ["x"], ["y"])
    ends = {"inputs": [floats("x", "batch", 4)], "outputs": [floats("y", "batch", 4)]}
    return Job("relu", onnx_program(tmp_path / "relu", node, **ends), "onnxruntime", ONE)


def test_a_program_in_onnx_runtimes_own_format_is_scored_and_timed(
    relu: Job, rows: Path, tmp_path: Path
) -> None:
    file = relu.file.with_suffix(".ort")
    convert(relu.file, file, "ORT_ENABLE_ALL")
    session = opened(tmp_path / "journal", Job("own", file, "onnxruntime", ONE))
    scores = session.score("own", rows, SHORT)
    assert isinstance(scores, Scores)
    np.testing.assert_array_equal(scores.outputs["y"], np.load(rows / "x.npy").clip(0))
    assert isinstance(session.time(["own"], rows, SHORT, 0)["own"], Timing)


def test_a_program_runs_for_as_long_as_asked_and_each_window_supports_its_p90(
    relu: Job, rows: Path, tmp_path: Path
) -> None:
    session = opened(tmp_path / "journal", relu)
    settings = replace(SHORT, sustained_s=2.5)
    run = session.sustain("relu", rows, settings)
    assert isinstance(run, Sustained)
    assert 2 <= len(run.windows) <= 3  # as many as a busy machine gets round to
    assert [window.at_s for window in run.windows] == sorted(w.at_s for w in run.windows)
    assert run.windows[-1].at_s >= 2.5
    for window in run.windows:
        assert window.runs >= 64
        assert 0 < window.p50_ms <= window.p90_ms
        assert 0 < window.cpu_share < 1.5
    again = opened(tmp_path / "journal", relu).sustain("relu", rows, settings)
    assert again == run  # minutes are not spent twice


def test_a_profile_is_taken_anew_with_another_version_of_the_runtime(
    relu: Job, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = opened(tmp_path / "journal", relu)
    first.time(["relu"], rows, SHORT, 0)  # which tells the version: a profile does not
    found = first.profile("relu", rows, SHORT)
    asked = []
    run = Session._run

    def with_version(self: Session, do: str, *more: Any) -> Any:
        asked.append(do)
        document = run(self, do, *more)
        return document | ({"versions": {"relu": version}} if do == "identify" else {})

    monkeypatch.setattr(Session, "_run", with_version)
    version = first.machine["onnxruntime"]
    assert opened(tmp_path / "journal", relu).profile("relu", rows, SHORT) == found
    assert asked == ["identify"]
    version = "0.1"
    opened(tmp_path / "journal", relu).profile("relu", rows, SHORT)
    assert asked[1:] == ["identify", "profile"]


def test_samples_a_second_are_those_of_all_streams_together(
    relu: Job, rows: Path, tmp_path: Path
) -> None:
    session = opened(tmp_path / "journal", replace(relu, batched=("x",)))
    found = session.stream("relu", rows, SHORT, batch=5, streams=2, number=0)
    assert isinstance(found, Streamed)
    assert found.samples_a_call == 5
    assert found.per_s > 5
    assert 0 < found.cores < 2.5


def test_a_program_that_takes_one_example_a_call_says_so(
    relu: Job, rows: Path, tmp_path: Path
) -> None:
    found = opened(tmp_path / "journal", relu).stream(
        "relu", rows, SHORT, batch=5, streams=1, number=0
    )
    assert isinstance(found, Failure)
    assert "it takes no more than one example a call" in found.lines[-1]


def opened(journal: Path, *jobs: Job) -> Session:
    return Session(here("onnxruntime", "executorch"), jobs, Journal(journal))


def timed(jobs: list[Job], rows: Path, settings: Settings = SHORT) -> dict[str, list[Timing]]:
    session = opened(rows.parent / "journal", *jobs)
    names = [job.name for job in jobs]
    taken = [session.time(names, rows, settings, number) for number in range(2)]
    return {name: [sound(restart[name]) for restart in taken] for name in names}


def sound(answer: Timing | Failure) -> Timing:
    assert isinstance(answer, Timing), answer
    return answer


def scored(session: Session, job: Job, rows: Path, batch: int = 64) -> Scores:
    answer = session.score(job.name, rows, SHORT, batch)
    assert isinstance(answer, Scores), answer
    return answer


def test_onnx_runtime_is_measured_where_no_torch_is(relu: Job, rows: Path) -> None:
    for timing in timed([relu], rows)["relu"]:
        assert "onnxruntime" in timing.modules
        assert not {"torch", "edgekd", "onnx"} & set(timing.modules)
        assert timing.restart.runs == len(timing.latencies_ms) >= SHORT.min_runs
        assert timing.restart.warmup_runs >= SHORT.warmup_runs
        assert timing.restart.wall_s >= SHORT.min_s
        assert timing.restart.peak_rss_mib < 300


def test_what_was_measured_stays_where_a_target_now_states_its_watts(relu: Job, rows: Path) -> None:
    (taken,) = timed([relu], rows)["relu"][:1]
    session = opened(rows.parent / "journal", relu)
    stated = session.target.hardware.model_copy(update={"watts_per_core": 2.5})
    session.target = session.target.model_copy(update={"hardware": stated})
    again = sound(session.time(["relu"], rows, SHORT, 0)["relu"])
    assert np.array_equal(again.latencies_ms, taken.latencies_ms)


def test_each_restart_is_a_fresh_process_for_each_program(relu: Job, rows: Path) -> None:
    other = Job("other", relu.file, "onnxruntime", ONE)
    found = timed([relu, other], rows)
    assert [len(taken) for taken in found.values()] == [2, 2]
    loads = [timing.restart.load_ms for taken in found.values() for timing in taken]
    assert len(set(loads)) == 4


def test_scores_are_what_the_program_computes_for_every_example(relu: Job, rows: Path) -> None:
    session = opened(rows.parent / "journal", relu)
    for batch in (1, 3, 64):
        scores = scored(session, relu, rows, batch)
        assert scores.batch == batch
        assert np.array_equal(scores.outputs["y"], np.maximum(np.load(rows / "x.npy"), 0))
    assert {"cpu", "arch", "cores", "os", "onnxruntime"} <= set(session.machine)
    assert session.measured_at.endswith("Z")


def test_a_fixed_batch_is_filled_up_and_cut_again(tmp_path: Path, rows: Path) -> None:
    ends = {"inputs": [floats("x", 2, 4)], "outputs": [floats("y", 2, 4)]}
    file = onnx_program(tmp_path / "two", helper.make_node("Relu", ["x"], ["y"]), **ends)
    fixed = Signature((Port("x", "float32", (2, 4)),), (Port("y", "float32", (2, 4)),))
    job = Job("two", file, "onnxruntime", fixed)
    scores = scored(opened(tmp_path / "journal", job), job, rows)
    assert np.array_equal(scores.outputs["y"], np.maximum(np.load(rows / "x.npy"), 0))


def test_a_program_with_state_gets_back_what_it_gave(tmp_path: Path, rows: Path) -> None:
    node = helper.make_node("Add", ["x", "before"], ["after"])
    ends = {
        "inputs": [floats("x", "batch", 4), floats("before", "batch", 4)],
        "outputs": [floats("after", "batch", 4)],
    }
    port = ("float32", ("batch", 4))
    signature = Signature(
        (Port("x", *port), Port("before", *port)),
        (Port("after", *port),),
        state=(("after", "before"),),
    )
    file = onnx_program(tmp_path / "sum", node, **ends)
    job = Job("sum", file, "onnxruntime", signature)
    assert timed([job], rows)["sum"][0].restart.runs >= SHORT.min_runs
    scores = scored(opened(tmp_path / "journal", job), job, rows)
    assert np.array_equal(scores.outputs["after"], np.load(rows / "x.npy"))  # each example anew


def test_executorch_is_measured_by_the_same_harness(tmp_path: Path, rows: Path, relu: Job) -> None:
    (tmp_path / "pte").mkdir()
    with quiet():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        exported = torch.export.export(nn.ReLU().eval(), (torch.zeros(1, 4),))
        program = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
        (tmp_path / "pte" / "program.pte").write_bytes(program.to_executorch().buffer)
    pte = Job("pte", tmp_path / "pte" / "program.pte", "executorch", ONE)
    session = opened(tmp_path / "journal", relu, pte)
    scores = {job.name: scored(session, job, rows) for job in (relu, pte)}
    assert scores["pte"].batch == 1
    assert np.array_equal(scores["pte"].outputs["y"], scores["relu"].outputs["y"])
    found = session.time(["relu", "pte"], rows, SHORT, 0)
    assert "torch" not in sound(found["relu"]).modules
    assert "onnxruntime" not in sound(found["pte"]).modules
    assert {"onnxruntime", "executorch"} <= set(session.machine)


def test_names_and_folders_may_hold_spaces_and_letters_of_any_language(
    relu: Job, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "zwischen ablage ö 日本"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    file = relu.file.rename(folder / "größe 1.onnx")
    job = Job("größe 1 日本", file, "onnxruntime", ONE)
    session = opened(folder / "gemessen ö", job)
    assert np.array_equal(
        scored(session, job, rows).outputs["y"], np.maximum(np.load(rows / "x.npy"), 0)
    )
    assert sound(session.time([job.name], rows, SHORT, 0)[job.name]).restart.runs
    assert Path(session._transport.folder).is_relative_to(folder)  # type: ignore[attr-defined]
