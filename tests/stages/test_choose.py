import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import onnx
import pytest

from edgekd.core import kinds
from edgekd.core.config import Config
from edgekd.core.errors import StageError
from edgekd.core.needs import ALONE, Hands
from edgekd.core.refs import Ref, UseModel, UseTransform, as_read
from edgekd.report.schema.choices import Tried
from edgekd.runtimes.folder import load_program
from edgekd.stages.choose import check, choose, estimate, remarks
from edgekd.trial.leaving_out import LeftOut

CPU = {
    "description": "here",
    "transport": {"kind": "local"},
    "runtimes": ("onnxruntime", "executorch"),
    "emulated": False,
}
FEW: dict[str, Any] = {"activations": ["uint8"], "graph_levels": ["off", "all"], "max_drop": 0.5}
QUICK = {"mode": "quick", "restarts": 2, "max_restarts": 2, "warmup_s": 0.02, "min_s": 0.02}


def options(**given: Any) -> Any:
    plugin = kinds.stage.get("choose")
    return plugin.config.model_validate(as_read({"model": "$student", "bench": QUICK, **given}))


@dataclass
class Preview:
    """A pipeline with a depthwise student and one target."""

    task: Any
    targets: Mapping[str, Any] = field(default_factory=lambda: {"cpu": CPU})
    quantized: bool = False
    hands: Hands = ALONE

    def task_of(self, ref: Ref) -> Any:
        return self.task

    def model(self, ref: Ref) -> UseModel:
        return UseModel.model_validate({"kind": "depthwise", "width": 16})

    def kind(self, ref: Ref) -> str:
        return "quantize" if self.quantized else "distill"

    def makes(self, ref: Ref) -> str:
        return "model"

    def runtime(self, ref: Ref) -> None:
        return None

    def options(self, ref: Ref) -> Config | None:
        return None

    def transform(self, ref: Ref) -> UseTransform | None:
        return None


def problems(config: Any, preview: Preview) -> str:
    return "\n".join(f"{p.path}: {p.message} {p.next_step}" for p in check(config, preview))


@pytest.fixture(scope="module")
def chosen(make_bench, tmp_path_factory):
    """Return a run among fp32 and uint8 at two levels, and its facts."""
    bench = make_bench(tmp_path_factory.mktemp("chosen"))
    bench.targets = {"cpu": CPU | {"runtimes": ("onnxruntime",)}}
    run = bench.run("best")
    return run, choose(options(**FEW, leave_out=False), run)


def test_every_form_is_measured_and_one_is_chosen(chosen):
    _, facts = chosen
    rows = [Tried.model_validate(row) for row in facts["candidates"]]
    assert {row.name for row in rows} == {
        f"onnxruntime {form} {level}"
        for form in ("fp32", "int8_static uint8")
        for level in ("all", "off")
    }
    assert [row.became for row in rows].count("chosen") == 1
    medians = [row.quantities["latency_p50_ms"].value for row in rows]
    assert medians == sorted(medians)
    assert {"accuracy", "size_mib", "speedup"} <= rows[0].quantities.keys()
    assert facts["says"].startswith(next(r.name for r in rows if r.became == "chosen"))
    assert "of 4" in facts["says"]


def test_the_program_is_as_export_leaves_it_at_the_level_that_was_chosen(chosen):
    run, facts = chosen
    program = load_program(run.out)
    assert {path.name for path in run.out.iterdir()} == {
        "best.onnx",
        "program.json",
        "candidates.json",
    }
    name = next(row["name"] for row in facts["candidates"] if row["became"] == "chosen")
    kind, level = name.split()[1], name.split()[-1]
    assert program.model == "student"
    assert program.precision == facts["precision"] == ("fp32" if kind == "fp32" else "int8")
    carried = {p.key: p.value for p in onnx.load(run.out / "best.onnx").metadata_props}
    assert level == carried["graph_level"] == program.facts["program"]["graph_level"]
    assert program.parity["outputs"]


def test_raw_latencies_are_kept_of_every_restart(chosen):
    run, facts = chosen
    raw = json.loads((run.out / "candidates.json").read_text())
    assert {name: len(restarts) for name, restarts in raw.items()} == {
        row["name"]: row["restarts"] for row in facts["candidates"]
    }
    assert all(len(restart) >= 25 for restarts in raw.values() for restart in restarts)


def test_one_that_was_interrupted_makes_and_times_nothing_twice(chosen, tmp_path):
    run, facts = chosen
    before = {path: path.stat().st_mtime_ns for path in run.unfinished.rglob("*.onnx")}
    again = SimpleNamespace(**vars(run) | {"out": tmp_path})
    assert choose(options(**FEW, leave_out=False), again) == facts
    assert {path: path.stat().st_mtime_ns for path in run.unfinished.rglob("*.onnx")} == before
    raw = (run.out / "candidates.json").read_text()
    assert (tmp_path / "candidates.json").read_text() == raw


def test_one_that_leaves_layers_out_is_timed_beside_the_fastest_and_fp32(
    chosen, tmp_path, monkeypatch
):
    run, before = chosen
    asked = []

    def worth(flow, int8, fp32):
        asked.append(({module for pair in flow for module in pair}, int8, fp32))
        return LeftOut(
            (next(e.module for e in int8.operators if e.operator == "QLinearConv"),), 0.9
        )

    monkeypatch.setattr("edgekd.trial.leaving_out.worth_leaving_out", worth)
    facts = choose(options(**FEW), SimpleNamespace(**vars(run) | {"out": tmp_path}))
    modules, int8, fp32 = asked.pop()
    assert {each.module for profile in (int8, fp32) for each in profile.operators} <= modules | {""}
    rows = [Tried.model_validate(row) for row in facts["candidates"]]
    (leaner,) = [row for row in rows if "exclude=['" in row.name]
    assert leaner.restarts >= 1
    assert {"accuracy", "speedup", "latency_p50_ms"} <= leaner.quantities.keys()
    assert {row["name"] for row in before["candidates"]} | {leaner.name} == {r.name for r in rows}
    assert [row.became for row in rows].count("chosen") == 1
    assert "of 5" in facts["says"]
    raw = json.loads((tmp_path / "candidates.json").read_text())
    assert raw.keys() == {row.name for row in rows}
    once_more = SimpleNamespace(**vars(run) | {"out": tmp_path / "again"})
    once_more.out.mkdir()
    made = {path: path.stat().st_mtime_ns for path in run.unfinished.rglob("*.onnx")}
    assert choose(options(**FEW), once_more) == facts
    assert {path: path.stat().st_mtime_ns for path in run.unfinished.rglob("*.onnx")} == made


def test_one_that_cannot_be_made_is_told_and_the_others_go_on(bench, monkeypatch):
    bench.targets = {"cpu": CPU | {"runtimes": ("onnxruntime",)}}
    real = kinds.stage.get

    def get(name):
        if name != "quantize":
            return real(name)

        def fail(*_: object) -> None:
            raise StageError("the model cannot be quantized.\nLong words.", "Do not.")

        plugin = real(name)
        return type("Fake", (), {"config": plugin.config, "build": lambda *_: fail})()

    monkeypatch.setattr(kinds.stage, "get", get)
    facts = choose(options(activations=["uint8"], graph_levels=["all"]), bench.run("best"))
    assert facts["candidates"][-1] == {
        "name": "onnxruntime int8_static uint8",
        "became": "was not made: the model cannot be quantized.",
        "quantities": {},
        "restarts": 0,
    }
    assert facts["says"] == "onnxruntime fp32 all, the best of 2"


def test_a_model_that_cannot_be_exported_at_all_fails_the_stage(bench, monkeypatch):
    bench.targets = {"cpu": CPU}
    run = bench.run("best")
    monkeypatch.setattr("edgekd.stages.export.check_parity", _refuse)
    with pytest.raises(StageError, match="departs"):
        choose(options(runtimes=["onnxruntime"], transforms=[]), run)


def _refuse(*_: object, **__: object) -> None:
    raise StageError("it departs.", "Look.")


def test_a_plan_tells_what_cannot_be_tried(digits_task):
    fine = Preview(digits_task)
    assert problems(options(), fine) == ""
    assert "transforms[0]: the transform 'channels' is for prune stages" in problems(
        options(transforms=[{"kind": "channels", "ratio": 0.5}]), fine
    )
    assert "transforms[0].exclude[0]: the model has no module 'nothing'" in problems(
        options(transforms=[{"kind": "int8_static", "exclude": ["nothing"]}]), fine
    )
    small = Preview(digits_task, {"cpu": CPU | {"runtimes": ("onnxruntime",)}})
    assert "runtimes[0]: target 'cpu' lacks executorch; it has onnxruntime." in problems(
        options(runtimes=["executorch"]), small
    )
    emulated = Preview(digits_task, {"cpu": CPU | {"emulated": True}})
    assert "target 'cpu' is emulated: its latency means nothing." in problems(options(), emulated)
    assert "$student is quantized" in problems(options(), Preview(digits_task, quantized=True))


def test_a_plan_tells_how_much_there_is_to_do(digits_task):
    preview = Preview(digits_task)
    (said,) = remarks(options(), preview)
    several = "makes 5 programs and times them in 11 ways on cpu"
    assert said == f"{several}, and up to 1 more with layers left out of int8"
    assert [*remarks(options(leave_out=False), preview)] == [several]
    (fewer,) = remarks(options(graph_levels=["all"], transforms=[]), preview)
    assert fewer == "makes 2 programs and times them in 2 ways on cpu"
    fixed = Preview(digits_task, {"cpu": CPU | {"graph_level": "basic"}})
    (said,) = remarks(options(leave_out=False), fixed)
    assert said == "makes 5 programs and times them in 5 ways on cpu"


def test_all_programs_are_on_the_disk_at_once(digits_task):
    preview = Preview(digits_task)
    all_of_them, one = (
        estimate(options(**given), preview)
        for given in ({}, {"transforms": [], "runtimes": ["onnxruntime"]})
    )
    assert all_of_them.disk_bytes > 5 * one.disk_bytes
    assert estimate(options(), Preview(digits_task, {})) is None
