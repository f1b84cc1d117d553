import platform
from typing import Any

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from edgekd.core.refs import as_read, as_written
from edgekd.core.shipped import shipped
from edgekd.devices.settings import PRESETS, settle
from edgekd.devices.target import Bench, Target

LEAST: dict[str, Any] = {"description": "x", "transport": "local", "runtimes": ("onnxruntime",)}


def test_every_shipped_target_reads() -> None:
    for path in shipped("targets").glob("*.yaml"):
        Target.model_validate(as_read(YAML(typ="safe").load(path.read_text("utf-8"))))


def test_a_target_survives_being_written_and_read() -> None:
    target = Target.model_validate(LEAST | {"bench": {"restarts": 4}, "threads": 2})
    assert Target.model_validate(as_read(as_written(target))) == target
    assert target.hardware.arch == platform.machine()
    assert not target.bare


def test_a_target_without_python_is_read_as_it_was_written() -> None:
    way = {"kind": "adb", "python": None}
    more = {"runtimes": ("executorch",), "native": ("executorch",), "transport": way}
    target = Target.model_validate(LEAST | more)
    assert target.bare
    assert Target.model_validate(as_read(as_written(target))) == target


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"runtimes": ("onnxruntim",)}, "Did you mean 'onnxruntime'"),
        ({"runtimes": ()}, "at least 1"),
        ({"transport": {"kind": "pigeon"}}, "no transport is named 'pigeon'"),
        ({"threads": 0}, "greater than or equal to 1"),
        ({"bench": {"mode": "fast"}}, "'quick', 'standard' or 'thorough'"),
        ({"colour": "red"}, "Extra inputs"),
        (
            {"transport": {"kind": "ssh", "host": "x", "python": None}},
            r"onnxruntime is run by Python, .* none \(python: null\). Name runtimes alone",
        ),
    ],
)
def test_a_wrong_target_says_what_is_wrong(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Target.model_validate(LEAST | change)


def test_the_stage_overrules_the_target_and_the_target_the_mode() -> None:
    target = Bench(min_s=7.0, cool_down_s=2.0)
    assert settle(Bench(), Bench()) == PRESETS["standard"]
    assert settle(target, Bench()).min_s == 7
    assert settle(target, Bench(min_s=3.0)).min_s == 3
    quick = settle(target, Bench(mode="quick"))
    assert (quick.min_s, quick.cool_down_s) == (PRESETS["quick"].min_s, 2)
    assert settle(Bench(mode="thorough"), Bench()).restarts == PRESETS["thorough"].restarts


def test_the_cap_is_never_below_what_is_asked_for() -> None:
    assert settle(Bench(), Bench(mode="quick", restarts=50)).max_restarts == 50


def test_a_preset_below_the_rules_says_so_and_the_others_keep_them() -> None:
    assert any("restarts is 3" in text for text in PRESETS["quick"].departures())
    assert any("warmup_s is 0.3" in text for text in PRESETS["quick"].departures())
    assert PRESETS["standard"].departures() == PRESETS["thorough"].departures() == []
