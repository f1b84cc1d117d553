"""The forms that a model can take."""

from edgekd.core.refs import UseRuntime, UseTransform
from edgekd.trial.forms import Form, forms, levels

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


def test_a_form_without_a_transform_is_fp32():
    assert Form(ORT, None).name == "onnxruntime fp32"
