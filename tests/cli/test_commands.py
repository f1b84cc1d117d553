"""The command as a process: what it prints, what it loads, how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from edgekd.cli.plugins import print_plugin, print_plugins
from edgekd.core.config import Config
from edgekd.core.kinds import objective
from edgekd.core.refs import UseModel, UseObjective
from edgekd.core.registry import Plugin
from edgekd.core.shipped import shipped
from edgekd.testing.tiny import PICTURES

BAD = "name: bad\ntask: {kind: image_classification, data: digits}\nstages:\n  a: {kind: techer}\n"


def edgekd(*arguments, cwd, **options):
    return subprocess.run(
        [sys.executable, "-m", "edgekd", *arguments],
        cwd=cwd, capture_output=True, text=True, timeout=300, check=False, **options,
    )  # fmt: skip


@pytest.fixture
def file(tmp_path):
    from ..pipeline.conftest import TINY

    (tmp_path / "tiny.yaml").write_text(TINY)
    return tmp_path / "tiny.yaml"


def test_help_names_every_command_and_the_exit_codes(tmp_path):
    done = edgekd("--help", cwd=tmp_path)
    assert done.returncode == 0
    for word in ("run", "plan", "why", "report", "compare", "runs", "list", "show", "targets",
                 "schema", "init", "doctor", "gc", "replay", "bench", "bisect", "recommend",
                 "130"):  # fmt: skip
        assert word in done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["list", "objective"], ["--version"]])
def test_what_answers_at_once_loads_no_torch(arguments, tmp_path):
    code = (
        "import sys\nsys.argv = ['edgekd', *sys.argv[1:]]\nfrom edgekd.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "assert not {'torch', 'numpy', 'transformers'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_list_and_show_say_what_a_plugin_is(tmp_path):
    assert "kd " in edgekd("list", "objective", cwd=tmp_path).stdout
    listed = json.loads(edgekd("list", "objective", "--json", cwd=tmp_path).stdout)
    assert "kd" in listed
    assert "kd" in json.loads(edgekd("list", "--json", cwd=tmp_path).stdout)["objective"]
    shown = edgekd("show", "objective", "kd", cwd=tmp_path).stdout
    for word in ("1503.02531", "2403.01549", "temperature (default 4.0)", "teacher_logits"):
        assert word in shown
    assert "fitted:" not in shown
    fitted = edgekd("show", "objective", "nd", cwd=tmp_path).stdout
    for word in ("2305.17007", "teacher_feature", "fitted: sees the teacher over all training"):
        assert word in fitted
    assert "{kind: kd, temperature: 4.0, standardise: false}" in shown
    assert "tap: {student: pool, teacher: pool}}" in fitted
    assert "pool is one of resnet and of depthwise" in fitted


def test_what_an_option_may_be_is_shown(capsys):
    print_plugin("objective", "bdkd")
    assert "  gate (hard or soft or forward; default hard)\n" in capsys.readouterr().out
    print_plugin("augment", "hard")
    assert '  changes (affine or color or mix; default ["affine"])\n' in capsys.readouterr().out


def test_every_example_of_an_objective_is_a_term_of_a_pipeline(capsys):
    networks = [
        UseModel.model_validate({"kind": kind}).build()(PICTURES)
        for kind in ("resnet", "depthwise")
    ]
    for plugin in objective:
        print_plugin("objective", plugin.name)
        line = capsys.readouterr().out.partition("\nexample:\n  ")[2].splitlines()[0]
        use = UseObjective.model_validate(YAML(typ="safe").load(line))
        assert use.kind == plugin.name
        for path in (use.tap.student, use.tap.teacher) if use.tap else ():
            for network in networks:
                assert path in (None, "...") or network.get_submodule(path)


def test_a_list_names_papers_and_an_example_term_has_its_tap(capsys, monkeypatch):
    print_plugins("objective", as_json=False)
    (line,) = (row for row in capsys.readouterr().out.splitlines() if row.startswith("  pld "))
    assert line.endswith("one choice at a time. [arXiv 2506.12542]")

    def hints(config, *, student_feature, teacher_feature):
        return (student_feature - teacher_feature).flatten(1).pow(2).mean(-1)

    monkeypatch.setitem(objective._loaded, "hints", Plugin("objective", "hints", hints, Config))
    print_plugin("objective", "hints")
    shown = capsys.readouterr().out
    assert "{kind: hints, tap: {student: ..., teacher: ...}}" in shown
    assert "source:" not in shown


def test_what_all_of_a_kind_take_is_shown_where_this_one_takes_it(capsys):
    shared = {}
    for name in ("teacher", "distill", "export"):
        print_plugin("stage", name)
        _, _, beside = capsys.readouterr().out.partition("as any stage:")
        shared[name] = [line.split()[0] for line in beside.splitlines() if line[2:3].strip()]
    assert [name for name, told in shared.items() if "task" in told] == ["teacher", "distill"]
    assert [name for name, told in shared.items() if "controls" in told] == ["distill"]
    assert all({"seed", "seeds", "keep"} <= {*told} for told in shared.values())
    print_plugin("augment", "flip")
    assert "as any" not in capsys.readouterr().out


def test_what_comes_from_a_paper_shows_its_equation(capsys):
    from edgekd.core.kinds import KINDS

    for kind in ("objective", "select"):
        for name in KINDS[kind].names():
            print_plugin(kind, name)
            shown = capsys.readouterr().out
            assert "source:" not in shown or "$" in shown, name


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["list", "objectiv"], "Did you mean 'objective'"),
        (["show", "objective", "kdd"], "Did you mean 'kd'"),
        (["plan", "absent.yaml"], "no such file"),
        (["run", "bad.yaml"], "bad.yaml:4: stages.a.kind"),
        (["report", "none"], "no run is named 'none'"),
        (["compare", "none", "one"], "no run is named 'none'"),
        (["schema", "reports"], "Did you mean 'report'"),
        (["init", "--template", "quikstart"], "Did you mean 'quickstart'"),
        (["init", "--template", "papers/nb"], "Did you mean 'papers/nd'"),
        (["init", "bad.yaml"], "is there already"),
        (["run"], "Missing argument"),
        (["frobnicate"], "No such command"),
    ],
)
def test_a_wrong_request_ends_with_2_and_a_message(arguments, words, tmp_path):
    (tmp_path / "bad.yaml").write_text(BAD)
    done = edgekd(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_pipeline_of_a_paper_is_one_to_start_from(tmp_path):
    assert edgekd("init", "--template", "papers/nd", "mine.yaml", cwd=tmp_path).returncode == 0
    shipped = Path(__file__).parents[2] / "pipelines" / "papers" / "nd.yaml"
    assert (tmp_path / "mine.yaml").read_bytes() == shipped.read_bytes()


def test_a_run_without_a_terminal_prints_plain_lines_and_records_itself(file):
    done = edgekd("run", "tiny.yaml", "--until", "teacher", cwd=file.parent)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "✓ teacher" in done.stdout
    assert "tiny" in edgekd("runs", cwd=file.parent).stdout
    again = edgekd("run", "tiny.yaml", "--until", "teacher", cwd=file.parent)
    assert "kept" in again.stdout
    assert "Nothing to do" in again.stdout
    why = edgekd("why", "tiny.yaml", "teacher", "--set", "seed=3", cwd=file.parent)
    assert why.stdout.strip() == "teacher: seed: 0 -> 3"
    kept = edgekd("why", "tiny.yaml", "teacher", "--json", cwd=file.parent)
    assert json.loads(kept.stdout) == {"stage": "teacher", "action": "keep", "reasons": []}
    planned = edgekd("plan", "tiny.yaml", cwd=file.parent).stdout
    assert "3 of 4 stages would run" in planned


def test_json_is_one_object_per_line(file):
    done = edgekd("run", "tiny.yaml", "--until", "teacher", "--json", cwd=file.parent)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[0]["event"] == "run_started"
    assert events[-1]["event"] == "run_done"
    assert {"stage_started", "stage_done"} <= {e["event"] for e in events}
    plan = json.loads(edgekd("plan", "tiny.yaml", "--json", cwd=file.parent).stdout)
    assert [s["action"] for s in plan["steps"]] == ["keep", "run", "run", "run"]


def test_an_interrupted_run_ends_with_130_and_goes_on_later(file):
    slow = ["--set", "stages.student.train.epochs=5000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "edgekd", "run", "tiny.yaml", "--json", *slow], cwd=file.parent,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        for line in process.stdout:
            if json.loads(line)["event"] == "stage_progress" and '"student"' in line:
                break
        process.send_signal(signal.SIGINT)
        _, message = process.communicate(timeout=60)
    assert process.returncode == 130, message
    assert "Interrupted in stage student" in message
    assert not list((file.parent / ".edgekd" / "tmp").iterdir())
    planned = json.loads(edgekd("plan", "tiny.yaml", "--json", cwd=file.parent).stdout)
    assert planned["steps"][0]["action"] == "keep"


def test_a_run_that_is_killed_leaves_no_process_behind(file):
    slow = ["--set", "stages.teacher.train.epochs=5000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "edgekd", "run", "tiny.yaml", "--json", *slow], cwd=file.parent,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        for line in process.stdout:
            if json.loads(line)["event"] == "stage_progress":
                break
        children = _children(process.pid)
        process.kill()
        process.communicate(timeout=60)
    assert children
    for _ in range(50):
        left = [pid for pid in children if _alive(pid)]
        if not left:
            break
        time.sleep(0.1)
    assert not left


def _children(pid):
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in listed.split()]


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_new_file_plans_and_fits_the_schema(tmp_path):
    jsonschema = pytest.importorskip("jsonschema", reason="comes with the extra 'test'")
    assert edgekd("init", "mine.yaml", cwd=tmp_path).returncode == 0
    assert edgekd("plan", "mine.yaml", cwd=tmp_path).returncode == 0
    schema = json.loads(edgekd("schema", cwd=tmp_path).stdout)
    check = jsonschema.Draft202012Validator(schema)
    read = YAML(typ="safe", pure=True)
    for path in shipped("pipelines").rglob("*.yaml"):
        check.validate(read.load(path.read_text()))
    (tmp_path / "mine.yaml").write_text(BAD)
    assert not check.is_valid(read.load(BAD))


def test_doctor_finds_this_installation_well(tmp_path):
    done = edgekd("doctor", "--json", cwd=tmp_path)
    findings = json.loads(done.stdout)
    assert done.returncode == 0, [f for f in findings if not f["ok"]]
    assert any(f["what"] == "torch" for f in findings)


def test_targets_are_listed_with_their_descriptions(tmp_path):
    listed = edgekd("targets", cwd=tmp_path).stdout
    assert "cpu" in listed
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "bad.yaml").write_text("describe: me\n")
    broken = edgekd("targets", cwd=tmp_path)
    assert broken.returncode == 2
    assert "bad.yaml" in broken.stderr
