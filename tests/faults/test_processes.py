"""Several processes that train together: started here or by a launcher, ended, gone on with."""

import json
import os
import shutil
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import psutil
import pytest

from edgekd.core.errors import RequestError
from edgekd.pipeline.resolved import Request
from edgekd.pipeline.run import Settings, run_pipeline

from .runs import SMALL, artifacts, run, stages, start, write

TRAINING = SMALL.partition("  smaller:")[0].replace("epochs: 8", "epochs: 1")
KEPT = TRAINING.replace(", augment: [{kind: crop, padding: 1}]", "")
KEPT = KEPT.replace("train_examples: 256", "train_examples: 1024").replace("epochs: 1", "epochs: 3")
"""What the teacher says is kept: four files of 256 examples."""
HARM = """
import os
import time
from edgekd.core.kinds import objective
from edgekd.parallel.group import group

@objective(name="harm")
def harm(config, *, student_logits):
    if group().rank == 1:
        {harm}
    return student_logits.sum(-1) * 0
"""


def run_bare(*command, **environment):
    """Run a command as a user would; return its status and all that it wrote."""
    told = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    done = subprocess.run(
        command, check=False, env=told, capture_output=True, text=True, timeout=200
    )
    return done.returncode, done.stdout + done.stderr


def contents(folder, stage):
    """Return the files of a stage's result with their digests."""
    found = {}
    for file in (folder / "store" / "results").glob("*/*"):
        manifest = (file.parent / "manifest.json").read_text()
        if f'"stage": "{stage}"' in manifest and file.name != "manifest.json":
            found[file.name] = sha256(file.read_bytes()).hexdigest()
    assert found, stage
    return found


def history(folder, stage):
    """Return the loss of every epoch of a stage."""
    (file,) = (
        file
        for file in (folder / "store" / "results").glob("*/history.json")
        if f'"stage": "{stage}"' in (file.parent / "manifest.json").read_text()
    )
    return [epoch["loss"] for epoch in json.loads(file.read_text())["epochs"]]


def is_peer(process):
    try:
        return "edgekd.pipeline.peer" in process.cmdline()
    except psutil.Error:
        return False


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    status, events, errors = run(write(folder / "a.yaml", KEPT), folder, "--nproc", "2")
    assert status == 0, errors
    return folder, events


def test_two_train_what_is_then_kept_and_told(two, tmp_path):
    folder, events = two
    done = {e["stage"]: e["facts"] for e in events if e["event"] == "stage_done"}
    assert done["teacher"]["training"]["processes"] == 2
    assert done["student"]["training"]["processes"] == 2
    status, again, _ = run(folder / "a.yaml", folder, "--nproc", "2")
    assert status == 0
    assert stages(again, "stage_kept") == ["teacher", "teacher.outputs", "student"]
    plan = (sys.executable, "-m", "edgekd", "why", str(folder / "a.yaml"), "teacher")
    _, text = run_bare(*plan, "--store", str(folder / "store"))
    assert "processes: 2 -> (absent)" in text


def test_one_process_keeps_the_same_outputs(two, tmp_path):
    folder, _ = two
    weights = next(
        file
        for file in (folder / "store" / "results").glob("*/model.safetensors")
        if '"stage": "teacher"' in (file.parent / "manifest.json").read_text()
    )
    text = KEPT.replace("    train: {epochs: 3, batch_size: 16}\n", "", 1)
    assert text != KEPT, "it would be trained further"
    text = text.replace("kind: teacher\n", f"kind: teacher\n    weights: {weights}\n", 1)
    file = write(tmp_path / "a.yaml", text)
    status, _, errors = run(file, tmp_path, "--until", "teacher.outputs")
    assert status == 0, errors
    one, both = contents(tmp_path, "teacher.outputs"), contents(folder, "teacher.outputs")
    assert len(one) == 4 + 2
    assert one == both


def test_each_holds_a_part_of_a_large_teacher(two, tmp_path):
    """What a divided teacher says is what the whole one says, kept or in every batch."""
    folder, _ = two
    text = KEPT.replace("teacher: $teacher\n", "teacher: $teacher\n    shard_teacher: true\n")
    student = text[text.index("  student:") :]
    never = "shard_teacher: true\n    cache: {keep: never}\n"
    asked = student.replace("student:", "asked:").replace("shard_teacher: true\n", never)
    status, _, errors = run(write(tmp_path / "a.yaml", text + asked), tmp_path, "--nproc", "2")
    assert status == 0, errors
    assert contents(tmp_path, "teacher.outputs") == contents(folder, "teacher.outputs")
    for stage in ("teacher", "student"):
        assert contents(tmp_path, stage) == contents(folder, stage)
    kept, now = (history(tmp_path, stage) for stage in ("student", "asked"))
    assert now != kept, "what is kept has eleven bits"
    assert now == pytest.approx(kept, rel=1e-3)


@pytest.mark.parametrize(
    "launcher",
    [
        ("torch.distributed.run", "--nproc-per-node=2", "--no-python", "edgekd"),
        ("accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--num_machines=1",
         "--mixed_precision=no", "--dynamo_backend=no", "--num_cpu_threads_per_process=1",
         "-m", "edgekd"),
    ],
    ids=["torchrun", "accelerate"],
)  # fmt: skip
def test_a_launcher_starts_what_nproc_starts(two, tmp_path, launcher, full):
    if launcher[0].startswith("accelerate") and not full:
        pytest.skip("with --full: it starts processes as torchrun does, which is tried")
    folder, _ = two
    where = ["--store", str(tmp_path / "store"), "--runs", str(tmp_path / "runs")]
    bin_folder = str(Path(sys.executable).parent)
    path = {"PATH": f"{bin_folder}:{os.environ['PATH']}"}
    port = "--standalone" if launcher[0].startswith("torch") else "--main_process_port=0"
    words = [sys.executable, "-m", launcher[0], port, *launcher[1:], "run"]
    status, text = run_bare(*words, str(folder / "a.yaml"), *where, **path)
    assert status == 0, text
    assert text.count("✓ teacher ") == 1, "only the first of them speaks"
    assert artifacts(tmp_path) == artifacts(folder)
    # there is nothing to do: the others must hear of it
    assert run_bare(*words, str(folder / "a.yaml"), *where, **path)[0] == 0


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("os._exit(3)", "process 2 of 2 ended with status 3"),
        ("raise ValueError('its own')", "process 2 of 2: ValueError: its own"),
    ],
)
def test_one_that_fails_alone_ends_the_stage_for_all(tmp_path, harm, said):
    write(tmp_path / "harm.py", HARM.replace("{harm}", harm))
    text = TRAINING.replace("cross_entropy]", "cross_entropy, harm]")
    text = text.replace("seed: 0\n", "seed: 0\nplugins: [harm.py]\n", 1)
    running = start(write(tmp_path / "a.yaml", text), tmp_path, "--nproc", "2")
    assert running.until(lambda event: event.get("stage") == "student")
    others = psutil.Process(running.process.pid).children(recursive=True)
    assert any(map(is_peer, others))
    status, errors = running.end()
    assert status == 1
    assert said in errors
    assert not psutil.wait_procs(others, timeout=20)[1], "one was left behind"


def test_what_fails_for_all_alike_is_told_as_by_one(tmp_path):
    write(tmp_path / "harm.py", HARM.replace("group().rank == 1", "True").replace(
        "{harm}", "raise ValueError('the same')"))  # fmt: skip
    text = TRAINING.replace("cross_entropy]", "cross_entropy, harm]")
    text = text.replace("seed: 0\n", "seed: 0\nplugins: [harm.py]\n", 1)
    status, _, errors = run(write(tmp_path / "a.yaml", text), tmp_path, "--nproc", "2")
    assert status == 1
    assert "ValueError: the same" in errors
    assert "process 2" not in errors


def trains(event):
    return event["event"] == "stage_progress" and event["what"] == "training" and event["done"] > 10


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """Return a folder where two trained the teacher until they were asked to end, and how far."""
    folder = tmp_path_factory.mktemp("interrupted")
    running = start(write(folder / "a.yaml", KEPT), folder, "--until", "teacher", "--nproc", "2")
    assert running.until(trains)
    others = psutil.Process(running.process.pid).children(recursive=True)
    running.process.send_signal(signal.SIGINT)
    assert running.end()[0] == 130
    assert not psutil.wait_procs(others, timeout=20)[1], "one was left behind"
    return folder, running.last("stage_progress")["done"]


@pytest.mark.parametrize("then", [1, 2])
def test_it_goes_on_with_as_many_or_others(two, interrupted, tmp_path, then):
    folder, reached = interrupted
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    words = ("--until", "teacher", "--nproc", str(then))
    status, events, errors = run(tmp_path / "a.yaml", tmp_path, *words)
    assert status == 0, errors
    first = next(event for event in events if event["event"] == "stage_progress")
    assert first["what"] == "resumed"
    assert first["done"] >= reached
    notices = [event["message"] for event in events if event["event"] == "stage_notice"]
    if then == 2:
        assert not notices
        assert contents(tmp_path, "teacher") == contents(two[0], "teacher")
    else:
        assert notices[0].startswith("goes on from what 2 processes of 1 thread had trained, now ")


def test_killed_they_leave_nobody_behind(tmp_path):
    running = start(write(tmp_path / "a.yaml", KEPT), tmp_path, "--nproc", "2")
    assert running.until(trains)
    others = psutil.Process(running.process.pid).children(recursive=True)
    running.kill(tree=False)
    assert not psutil.wait_procs(others, timeout=20)[1]


def launched_environment(rank):
    return {"RANK": rank, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}


@pytest.mark.parametrize(
    ("options", "named"), [(["--nproc", "2"], "--nproc"), (["--jobs", "2"], "--jobs")]
)
def test_what_a_launcher_has_settled_is_not_asked_again(tmp_path, options, named):
    file = write(tmp_path / "a.yaml", TRAINING)
    words = (sys.executable, "-m", "edgekd", "run", str(file), *options)
    where = ("--store", str(tmp_path / "store"))
    status, text = run_bare(*words, *where, **launched_environment("0"))
    assert status == 2
    assert named in text
    assert "Leave it out" in text


@pytest.mark.parametrize(("rank", "processes"), [("1", 2), ("0", 1)])
def test_a_run_that_the_launchers_processes_do_not_share_is_refused(
    tmp_path, monkeypatch, rank, processes
):
    """As by `edgekd.run` in every process of a launcher, or by a replay."""
    for name, value in launched_environment(rank).items():
        monkeypatch.setenv(name, value)
    request = Request(str(write(tmp_path / "a.yaml", TRAINING)), processes=processes)
    with pytest.raises(RequestError) as caught:
        run_pipeline(request, Settings(tmp_path / "store", tmp_path / "runs"), print)
    assert f"process {int(rank) + 1} of 2 that a launcher has started" in str(caught.value)
    assert "`edgekd run` with the launcher" in str(caught.value)
    assert not (tmp_path / "store").exists()
