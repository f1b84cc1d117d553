import shutil
from pathlib import Path

import pytest

from edgekd.core.errors import StageError
from edgekd.core.shipped import shipped
from edgekd.devices import model_file
from edgekd.devices.model_file import describe


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("import os; os.kill(os.getpid(), 11)", "the process that read it was killed by SIGSEGV"),
        ("import os; os.abort()", "the process that read it was killed by SIGABRT"),
        ("held = bytearray(2**50)", "p.onnx cannot be read: MemoryError"),
        ("while True: pass", "still being read after 1 s of processor time"),
        ("import os; print('noise'); os._exit(0)", "gave no answer"),
    ],
)
def test_a_runtime_that_dies_over_a_file_is_an_error_that_says_how(
    does: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runners = tmp_path / "targets" / "runners"
    shutil.copytree(shipped("targets") / "runners", runners)
    (runners / "onnxruntime.py").write_text(does)
    (tmp_path / "p.onnx").write_bytes(b"\x08\x09")  # an ONNX file that says its version
    monkeypatch.setattr(model_file, "shipped", lambda folder: tmp_path / folder)
    monkeypatch.setattr(model_file, "READING_S", 1)
    text = (runners / "describe.py").read_text()
    (runners / "describe.py").write_text(text.replace("CLOCK = 2", "CLOCK = 60"))
    with pytest.raises(StageError, match="cannot be read") as refused:
        describe(tmp_path / "p.onnx")
    assert said in str(refused.value)
