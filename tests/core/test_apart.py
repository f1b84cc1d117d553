"""Questions to a process of its own."""

import os
import sys
import time

import pytest

from edgekd.core import apart
from edgekd.core.apart import ask
from edgekd.core.errors import StageError

PROGRAM = """\
import os, signal, sys, time
from edgekd.core.apart import confine, serve
from pathlib import Path

def answer(request):
    if request["do"] == "die":
        print("the file is bad", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    if request["do"] == "leave":
        sys.exit("no such operator")
    if request["do"] == "sleep":
        time.sleep(600)
    print("libraries talk")
    return {"got": request["file"], "refused": confine(Path(request["file"]))}

serve(answer)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return the name of a module that answers."""
    (tmp_path / "answering.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    return "answering"


def test_an_answer_comes_back_whatever_libraries_print(module):
    assert ask(module, {"do": "tell", "file": "a.pte"}, "a.pte") == {"got": "a.pte", "refused": ""}


def test_a_file_that_names_files_of_others_is_not_opened(module, tmp_path):
    import onnx
    from onnx import TensorProto, helper

    tensor = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    graph = helper.make_graph([], "g", [], [], [tensor])
    file = tmp_path / "evil.onnx"
    file.write_bytes(helper.make_model(graph).SerializeToString())
    assert onnx.load(file, load_external_data=False).graph.initializer[0].name == "w"
    assert "../secret" in ask(module, {"do": "tell", "file": str(file)}, "evil.onnx")["refused"]


@pytest.mark.parametrize(
    ("do", "words"),
    [("die", "was killed by SIGSEGV: the file is bad"),
     ("leave", "ended with exit status 1: no such operator")],
)  # fmt: skip
def test_a_process_that_dies_over_a_file_is_told_with_its_last_words(module, do, words):
    with pytest.raises(StageError, match=f"the process that opened a.onnx {words}") as caught:
        ask(module, {"do": do}, "a.onnx")
    assert "Check that the file is whole" in caught.value.next_step


def test_a_process_that_does_not_end_is_killed_and_told(module, monkeypatch):
    monkeypatch.setattr(apart, "PATIENCE_S", 0.9)
    began = time.monotonic()
    with pytest.raises(StageError, match=r"opened a.onnx did not end within 0.00025 h") as caught:
        ask(module, {"do": "sleep"}, "a.onnx")
    assert time.monotonic() - began < 30
    assert "ask for fewer examples" in caught.value.next_step
