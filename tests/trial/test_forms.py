"""The forms that a model can take, and stages that are called once."""

from types import SimpleNamespace

import pytest

from edgekd.core import kinds
from edgekd.core.config import Config
from edgekd.core.refs import ModelRef, Ref, UseRuntime, UseTransform
from edgekd.trial.forms import Form, call, forms, levels, quantized

ORT, XNNPACK = map(UseRuntime.model_validate, ("onnxruntime", "executorch"))


def transform(**options):
    return UseTransform.model_validate({"kind": "int8_static", **options})


def names(*given, activations=("uint8", "int8")):
    return [form.name for form in forms((ORT, XNNPACK), given, activations)]


def test_a_runtime_with_a_choice_of_activations_has_a_form_for_each():
    assert names(transform()) == [
        "onnxruntime fp32",
        "executorch fp32",
        "onnxruntime int8_static uint8",
        "onnxruntime int8_static int8",
        "executorch int8_static",
    ]
    assert names(transform(), activations=("int8",))[2:] == [
        "onnxruntime int8_static int8",
        "executorch int8_static",
    ]


def test_what_a_runtime_cannot_follow_is_no_form_of_it():
    found = names(UseTransform.model_validate({"kind": "int4_weights", "symmetric": False}))
    assert [name for name in found if "int4" in name] == [
        "onnxruntime int4_weights symmetric=False"
    ]


def test_a_type_that_a_transform_names_is_the_only_one():
    assert names(transform(activation="uint8"))[2:] == [
        "onnxruntime int8_static uint8",
        "executorch int8_static uint8",
    ]


def test_options_that_are_not_as_usual_are_in_the_name():
    found = names(transform(calibration="entropy", examples=9), activations=())
    assert found[2] == "onnxruntime int8_static entropy examples=9"


def test_levels_are_those_that_a_runtime_has():
    assert levels(ORT, ["all", "off"]) == ["all", "off"]
    assert levels(XNNPACK, ["all", "off"]) == []


class Copied(Config):
    model: ModelRef


@pytest.fixture
def stages(monkeypatch):
    """Return what stages were called with, by a kind that fails while `fails` is true."""
    state = SimpleNamespace(calls=[], fails=False)

    def copied(config, run):
        (run.out / "half").touch()
        state.calls.append((run.name, run.input(config.model)))
        if state.fails:
            raise RuntimeError("broken")
        return {"size": 1}

    plugin = SimpleNamespace(config=Copied, build=lambda options: lambda run: copied(options, run))
    monkeypatch.setattr(kinds.stage, "get", lambda name: plugin)
    return state


def test_a_stage_is_called_once_in_a_folder_and_as_the_one_that_calls_it(stages, tmp_path):
    run, out, model = SimpleNamespace(name="best"), tmp_path / "out", tmp_path / "model"
    given = {"model": "$a"}
    assert call("any", given, run, out, {"a": model}) == {"size": 1}
    assert call("any", given, run, out, {"a": model}) == {"size": 1}
    assert stages.calls == [("best", model)]


def test_one_that_broke_off_begins_in_an_empty_folder(stages, tmp_path):
    run, out = SimpleNamespace(name="best"), tmp_path / "out"
    stages.fails = True
    with pytest.raises(RuntimeError):
        call("any", {"model": "$a"}, run, out, {"a": tmp_path})
    (out / "rest").touch()
    stages.fails = False
    call("any", {"model": "$a"}, run, out, {"a": tmp_path})
    assert {path.name for path in out.iterdir()} == {"half", "facts.json"}
    assert len(stages.calls) == 2


def test_each_way_to_quantize_has_a_folder_of_its_own(monkeypatch, tmp_path):
    made = []
    monkeypatch.setattr("edgekd.trial.forms.call", lambda *given: made.append(given))
    run, ref = SimpleNamespace(name="best"), Ref("a", ("model",))
    folders = {
        quantized(transform(**options), ref, tmp_path, run, tmp_path / "made")
        for options in ({}, {"calibration": "entropy"}, {"activation": "int8"})
    }
    assert len(folders) == 3
    assert {given[0] for given in made} == {"quantize"}


def test_a_form_without_a_transform_is_fp32():
    assert Form(ORT, None).name == "onnxruntime fp32"
