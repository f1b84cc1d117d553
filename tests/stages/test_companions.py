"""What an app needs beside a program goes with every model to it."""

import json
from dataclasses import replace

import pytest

from edgekd.core import kinds
from edgekd.core.errors import StageError
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


@pytest.mark.parametrize(
    "name", ["../out.json", "/etc/x", "a/b", "model.json", "manifest.json", "..", ""]
)
def test_a_name_that_leads_elsewhere_or_is_taken_is_refused(name, bench, tmp_path):
    stored = load_model(bench.folder / "student")
    (tmp_path / "own").mkdir()
    with pytest.raises(StageError, match="no companion of a model can be called"):
        save_model(tmp_path / "own", replace(stored, companions={name: b""}))


def test_a_description_that_leads_elsewhere_is_refused(bench, tmp_path):
    (tmp_path / "own").mkdir()
    save_model(tmp_path / "own", load_model(bench.folder / "student"))
    file = tmp_path / "own" / "model.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"companions": ["../secret"]}))
    with pytest.raises(StageError, match=r"can be called '\.\./secret'"):
        load_model(tmp_path / "own")


def test_a_given_program_gets_what_the_task_says(bench, monkeypatch):
    exported, taken = bench.run("exported"), bench.run("taken")
    export, given = (kinds.stage.get(kind) for kind in ("export", "given"))
    options = export.config.model_validate({"model": "$student", "runtime": "onnxruntime"})
    export.build(options)(exported)
    monkeypatch.setattr(bench.task, "companions", lambda: FILES, raising=False)
    given.build(given.config(file=str(exported.out / "exported.onnx")))(taken)
    assert (taken.out / "tokenizer.json").read_bytes() == FILES["tokenizer.json"]
