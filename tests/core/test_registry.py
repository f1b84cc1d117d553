"""One mechanism for plug-ins: found by name, loaded on first use, ours and others'."""

import subprocess
import sys

import pytest

from edgekd.core import kinds
from edgekd.core.errors import RequestError
from edgekd.core.registry import Registry, load_user_module


def test_a_name_is_a_files_stem():
    assert kinds.objective.get("kd").source.stem == "kd"
    assert {"kd", "cross_entropy"} <= set(kinds.objective.names())


def test_an_unknown_name_raises_with_the_nearest():
    with pytest.raises(KeyError, match="Did you mean 'kd'"):
        kinds.objective.get("kdd")


def test_needs_are_the_keyword_only_parameters():
    assert kinds.objective.get("kd").needs == ("student_logits", "teacher_logits")


def test_two_plugins_of_one_name_are_refused(tmp_path):
    text = "from edgekd.core.kinds import objective\n@objective(name='kd')\ndef mine(c): ...\n"
    kinds.objective.get("kd")
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises((RequestError, ValueError), match="both the objective 'kd'"):
        load_user_module("mine.py", tmp_path)


def test_a_summary_is_read_without_importing():
    registry = Registry("runtime", "runtimes")
    assert registry.summary("executorch").startswith("ExecuTorch")
    assert not registry._loaded


def test_papers_are_read_without_importing_as_they_are_after_it():
    registry = Registry("objective", "objectives")
    read = {name: registry.papers(name) for name in registry.names()}
    assert not registry._loaded
    assert [paper.arxiv for paper in read["kd"]] == ["1503.02531", "2403.01549"]
    assert read["cross_entropy"] == []
    assert read == {name: kinds.objective.get(name).papers for name in read}
    assert kinds.objective.papers("kd") == read["kd"]


def test_a_package_of_its_own_adds_a_method_through_an_entry_point(tmp_path):
    (tmp_path / "their_method.py").write_text(
        '"""Teach by their method."""\n'
        "from edgekd.core.kinds import objective\n\n"
        "@objective()\n"
        "def their_method(config, *, student_logits, teacher_logits):\n"
        "    return (student_logits - teacher_logits).abs().sum(-1)\n"
    )
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edgekd.objectives]\ntheir_method = their_method\n")
    code = (
        "from edgekd.core import kinds\n"
        "assert 'their_method' in kinds.objective.names()\n"
        "from edgekd.testing.conformance import EVERY_OBJECTIVE, EVERY_PLUGIN\n"
        "plugin = kinds.objective.get('their_method')\n"
        "[promise(plugin) for promise in (*EVERY_PLUGIN, *EVERY_OBJECTIVE)]\n"
        "print(plugin.summary)\n"
        "from pathlib import Path\n"
        "from edgekd.core.refs import UseTask\n"
        "from edgekd.testing.runs import ExampleRun\n"
        "digits = {'kind': 'image_classification', 'data': 'digits', 'train_examples': 64}\n"
        "task, model = UseTask.model_validate(digits).build(), {'kind': 'mlp', 'widths': ()}\n"
        "def made(name, **options):\n"
        "    stage, run = kinds.stage.get(name), ExampleRun(Path('runs'), task, name=name)\n"
        "    stage.build(stage.config.model_validate(options | {'model': model}))(run)\n"
        "    return run\n"
        "made('teacher', untrained=True)\n"
        "term = {'kind': 'their_method', 'weight': 2.0}\n"
        "train = {'epochs': 6, 'batch_size': 16, 'learning_rate': 0.01}\n"
        "run = made('distill', teacher='$teacher', objective=(term,), train=train)\n"
        "first, *_, last = run.epochs\n"
        "print(last['terms']['their_method'] < first['terms']['their_method'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(tmp_path)}, capture_output=True,
        text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["Teach by their method.", "True"], done.stderr
