"""Stages that another one calls: once, and as that one."""

from types import SimpleNamespace

import pytest

from edgekd.core import kinds
from edgekd.core.config import Config
from edgekd.core.refs import ModelRef
from edgekd.trial.delegate import made


class Copied(Config):
    model: ModelRef
    size: int = 0


@pytest.fixture
def stages(monkeypatch):
    """Return what stages were called with, by a kind that fails while `fails` is true."""
    state = SimpleNamespace(calls=[], fails=False)

    def copied(config, run):
        (run.out / f"half {config.size}").touch()
        state.calls.append((run.name, run.input(config.model)))
        if state.fails:
            raise RuntimeError("broken")
        return {"size": config.size}

    plugin = SimpleNamespace(config=Copied, build=lambda options: lambda run: copied(options, run))
    monkeypatch.setattr(kinds.stage, "get", lambda name: plugin)
    return state


@pytest.fixture
def run(tmp_path):
    return SimpleNamespace(name="best", unfinished=tmp_path / "unfinished")


def test_a_stage_is_called_once_and_as_the_one_that_calls_it(stages, run, tmp_path):
    model = tmp_path / "model"
    first, again = (made("any", {"model": "$a", "size": 3}, run, {"a": model}) for _ in range(2))
    assert first == again
    assert first.facts == {"size": 3}
    assert stages.calls == [("best", model)]
    assert {path.name for path in first.folder.iterdir()} == {"half 3"}


def test_other_options_another_kind_or_another_input_is_another_result(stages, run, tmp_path):
    asked = [
        ("any", {"model": "$a"}, {"a": tmp_path / "x"}),
        ("any", {"model": "$a", "size": 1}, {"a": tmp_path / "x"}),
        ("any", {"model": "$a"}, {"a": tmp_path / "y"}),
        ("other", {"model": "$a"}, {"a": tmp_path / "x"}),
    ]
    folders = {made(kind, options, run, inputs).folder for kind, options, inputs in asked}
    assert len(folders) == len(stages.calls) == 4


def test_one_that_broke_off_begins_in_an_empty_folder(stages, run, tmp_path):
    stages.fails = True
    with pytest.raises(RuntimeError):
        made("any", {"model": "$a"}, run, {"a": tmp_path})
    (left,) = run.unfinished.glob("made/*/result")
    (left / "rest").touch()
    stages.fails = False
    folder = made("any", {"model": "$a"}, run, {"a": tmp_path}).folder
    assert {path.name for path in folder.iterdir()} == {"half 0"}
    assert len(stages.calls) == 2
