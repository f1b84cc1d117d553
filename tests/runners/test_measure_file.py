import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgekd.core.shipped import shipped

SCRIPT = shipped("targets") / "runners" / "measure_file.py"
QUICK = ["--restarts", "2", "--seconds", "0.01"]


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a program that doubles rows of three numbers."""
    from onnx import TensorProto, helper, save

    rows = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])
    doubled = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "g", [rows], [doubled])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    file = tmp_path_factory.mktemp("programs") / "double.onnx"
    save(model, file)
    return file


def called(*words: object, script: Path = SCRIPT) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-s", "-E", str(script), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_programs_are_measured_in_fresh_processes_without_torch(double: Path) -> None:
    done = called(double, "--json", *QUICK)
    documents = json.loads(done.stdout)
    assert done.returncode == 0
    assert len(documents) == 2
    for document in documents:
        measured = document["measured"]["double.onnx"]
        assert min(measured["ns"]) > 0
        assert {"torch", "edgekd"}.isdisjoint(measured["modules"])


def test_people_read_a_line_per_program_and_what_the_inputs_were(double: Path) -> None:
    shown = called(double, *QUICK).stdout.splitlines()
    assert shown[1] == "inputs: noise made here"
    assert shown[2].startswith("double.onnx: p50 ")


def test_outputs_for_given_inputs_are_left_as_files(double: Path, tmp_path: Path) -> None:
    rows = np.arange(300, dtype=np.float32).reshape(100, 3)
    np.save(tmp_path / "x.npy", rows)
    done = called(double, "--inputs", tmp_path, "--scores", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert np.array_equal(np.load(tmp_path / "out" / "double" / "y.npy"), 2 * rows)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model.pte"], "is no .onnx file"),
        (["missing.onnx"], "cannot be loaded"),
        (["DOUBLE", "--inputs", "."], "takes 'x'"),
        (["DOUBLE", "--scores", "out"], "--scores needs --inputs"),
        (["DOUBLE", "DOUBLE"], "share the name"),
    ],
)
def test_a_request_that_cannot_be_met_is_explained(
    double: Path, words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = called(*(double if word == "DOUBLE" else word for word in words))
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_program_that_cannot_run_its_inputs_is_explained(double: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 7), np.float32))
    done = called(double, "--inputs", tmp_path, *QUICK)
    assert done.returncode == 2
    assert "double.onnx ended with exit status 1 in its first run" in done.stderr


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("import os; os.kill(os.getpid(), 11)", "was killed by SIGSEGV"),
        ("while True: pass", "still being read after 1 s of processor time"),
        ("import time; time.sleep(60)", "no answer in 2 s"),
        ("held = bytearray(2**50)", "cannot be loaded: MemoryError"),
        ("import os; os._exit(7)", "ended with exit status 7"),
    ],
)
def test_a_runtime_that_crashes_or_hangs_over_a_file_is_a_message(
    does: str, said: str, tmp_path: Path, double: Path
) -> None:
    here = tmp_path / "runners"
    shutil.copytree(SCRIPT.parent, here, ignore=shutil.ignore_patterns("__pycache__"))
    (here / "onnxruntime.py").write_text(does)
    patience = 30 if does == "while True: pass" else 2  # a busy machine gives a second late
    text = (here / "describe.py").read_text()
    (here / "describe.py").write_text(
        text.replace("READING_S = 60", "READING_S = 1").replace("CLOCK = 2", f"CLOCK = {patience}")
    )
    shutil.copyfile(double, tmp_path / "any.onnx")
    done = called(tmp_path / "any.onnx", script=here / SCRIPT.name)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
