"""What an app needs beside a program goes with every model to it."""

from dataclasses import replace

import pytest

from edgekd.core import kinds
from edgekd.models.folder import load_model, save_model

FILES = {"tokenizer.json": b'{"version": "1.0"}'}
STAGES = {
    "prune": {"transform": {"kind": "channels", "ratio": 0.3}},
    "quantize": {"transform": {"kind": "int8_static", "examples": 8}},
    "export": {"runtime": "onnxruntime"},
}


@pytest.mark.parametrize("kind", STAGES)
def test_it_passes_through(kind, bench):
    (bench.folder / "own").mkdir()
    save_model(
        bench.folder / "own", replace(load_model(bench.folder / "student"), companions=FILES)
    )
    run, plugin = bench.run(kind), kinds.stage.get(kind)
    plugin.build(plugin.config.model_validate({"model": "$own", **STAGES[kind]}))(run)
    for name, content in FILES.items():
        assert (run.out / name).read_bytes() == content
    if kind != "export":
        assert load_model(run.out).companions == FILES


def test_a_given_program_gets_what_the_task_says(bench, monkeypatch):
    exported, taken = bench.run("exported"), bench.run("taken")
    export, given = (kinds.stage.get(kind) for kind in ("export", "given"))
    options = export.config.model_validate({"model": "$student", "runtime": "onnxruntime"})
    export.build(options)(exported)
    monkeypatch.setattr(bench.task, "companions", lambda: FILES, raising=False)
    given.build(given.config(file=str(exported.out / "exported.onnx")))(taken)
    assert (taken.out / "tokenizer.json").read_bytes() == FILES["tokenizer.json"]
