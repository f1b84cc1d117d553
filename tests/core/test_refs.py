"""Fields that name plug-ins and stages, as a file spells them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edgekd.core.config import Config, LocalPath
from edgekd.core.refs import (
    ModelOrRef,
    ModelRef,
    Ref,
    UseModel,
    UseObjective,
    as_read,
    as_written,
    paths_of,
    refs_of,
    uses_of,
)


class Example(Config):
    teacher: ModelRef | None = None
    model: ModelOrRef = Ref("x", ("model",))
    terms: tuple[UseObjective, ...] = ()
    weights: LocalPath | None = None


def test_a_name_alone_is_a_plugin_with_its_defaults():
    assert UseObjective.model_validate("kd") == UseObjective.model_validate({"kind": "kd"})


def test_options_stand_beside_the_kind_and_come_back_so():
    written = {"kind": "kd", "temperature": 2.5, "standardise": False, "weight": 0.5}
    written |= {"warmup": 0.25, "tap": None, "teacher": None}
    use = UseObjective.model_validate(written)
    assert (use.options.temperature, use.weight, use.warmup) == (2.5, 0.5, 0.25)
    assert as_written(use) == written


@given(
    weight=st.floats(0, 10), temperature=st.floats(0.1, 50), depth=st.sampled_from([8, 14, 20]),
    stage=st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,10}", fullmatch=True),
)  # fmt: skip
def test_a_config_comes_back_from_the_form_of_a_file(weight, temperature, depth, stage):
    config = Example.model_validate(
        {
            "teacher": f"${stage}",
            "model": {"kind": "resnet", "depth": depth},
            "terms": ({"kind": "kd", "weight": weight, "temperature": temperature}, "kd"),
        }
    )
    assert Example.model_validate(as_read(as_written(config))) == config
    assert [ref.stage for _, ref in refs_of(config)] == [stage]
    assert [use.kind for use in uses_of(config)] == ["resnet", "kd", "kd"]


def test_a_model_may_be_built_or_taken_from_a_stage():
    assert isinstance(Example.model_validate({"model": "resnet"}).model, UseModel)
    assert Example.model_validate({"model": "$student"}).model == Ref("student", ("model",))


@pytest.mark.parametrize("value", ["student", "$", 3, None, {}, ("$a",)])
def test_what_is_no_reference_is_refused(value):
    class Needs(Config):
        model: ModelRef

    with pytest.raises(ValidationError, match="expected the model of a stage"):
        Needs.model_validate({"model": value})


def test_a_relative_path_is_beside_the_pipeline():
    config = Example.model_validate({"weights": "w/x"}, context={"beside": "/a"})
    assert list(paths_of(config)) == ["/a/w/x"]
    config = Example.model_validate({"weights": "/b/x"}, context={"beside": "/a"})
    assert list(paths_of(config)) == ["/b/x"]


def test_a_truth_value_is_no_number():
    with pytest.raises(ValidationError, match="found true or false"):
        UseObjective.model_validate({"kind": "kd", "weight": True})
