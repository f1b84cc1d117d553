import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgekd.core.quiet import quiet
from edgekd.core.refs import UseRuntime
from edgekd.core.shipped import shipped
from edgekd.devices.answers import Timing
from edgekd.devices.bench import Session
from edgekd.devices.job import Job
from edgekd.devices.kept import Journal
from edgekd.devices.settings import settle
from edgekd.devices.target import Bench, Target
from edgekd.testing.tiny import CASES

RUNNERS = shipped("targets") / "runners"
CASE = CASES["pair"]
SHORT = settle(Bench(), Bench(mode="quick", warmup_s=0.05, min_s=0.05, min_runs=20, timeout_s=60.0))
ALL = (
    "import json, sys, etdump; "
    "print(json.dumps(etdump.operators(open(sys.argv[1], 'rb').read(), 5)))"
)
TOLD = "import sys, etdump; print(etdump.undelegated(open(sys.argv[1], 'rb').read()))"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an ExecuTorch program with operators that XNNPACK does not take."""
    out = tmp_path_factory.mktemp("program") / "m.pte"
    UseRuntime.model_validate("executorch").build().export(
        CASE.model(), signature=CASE.signature, samples=CASE.samples(4), metadata={},
        quantization=None, calibration=(), activation="int8", out=out,
    )  # fmt: skip
    return out


def noted(program: Path, folder: Path) -> Path:
    from executorch.extension.pybindings import _C

    with quiet(native=True):
        module = _C._load_for_executorch(str(program), enable_etdump=True)
        batch = CASE.samples(1)
        for _ in range(6):
            module.forward(tuple(batch[port.name] for port in CASE.signature.inputs))
        module.write_etdump_result_to_file(str(folder / "noted.etdp"))
    return folder / "noted.etdp"


def told(file: Path) -> "subprocess.CompletedProcess[str]":
    return asked(TOLD, file)


def asked(code: str, file: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", code, str(file)]
    return subprocess.run(command, cwd=RUNNERS, capture_output=True, text=True, check=False)


def test_the_share_is_that_of_executorchs_own_inspector(program: Path, tmp_path: Path) -> None:
    from executorch.devtools import Inspector

    file = noted(program, tmp_path)
    with quiet():
        blocks = Inspector(etdump_path=str(file)).event_blocks
    events = [event for block in blocks if block.name == "Execute" for event in block.events]
    spent = {
        name: sum(sum(event.perf_data.raw[1:]) for event in events if event.name == name)
        for name in ("OPERATOR_CALL", "Method::execute")
    }
    assert spent["OPERATOR_CALL"] > 0
    expected = spent["OPERATOR_CALL"] / spent["Method::execute"]
    assert float(told(file).stdout) == pytest.approx(expected, rel=1e-4)


def test_operators_in_and_outside_the_delegate_come_to_what_executorch_spent_on_both(
    program: Path, tmp_path: Path
) -> None:
    from executorch.devtools import Inspector

    file = noted(program, tmp_path)
    with quiet():
        blocks = Inspector(etdump_path=str(file)).event_blocks
    events = [event for block in blocks if block.name == "Execute" for event in block.events]
    last = {
        name: 1000 * sum(event.perf_data.raw[-1] for event in events if event.name == name)
        for name in ("OPERATOR_CALL", "DELEGATE_CALL", "Method::execute")
    }
    told = json.loads(asked(ALL, file).stdout)
    spent = {
        inside: sum(each["us"] for each in told["operators"] if each["delegated"] is inside)
        for inside in (True, False)
    }
    assert told["runs"] == 1
    assert spent[True] == pytest.approx(last["DELEGATE_CALL"], rel=1e-3, abs=1.0)
    assert spent[False] == pytest.approx(last["OPERATOR_CALL"], rel=1e-3)
    assert told["whole_us"] == pytest.approx(last["Method::execute"], rel=1e-3)
    names = {each["operator"] for each in told["operators"]}
    kernels = {e.name.removeprefix("native_call_") for e in events if e.name.startswith("native")}
    assert kernels <= names
    assert not any("#" in name for name in names)


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(64))
    assert "is no ETDump" in told(tmp_path / "x").stderr


@pytest.mark.parametrize("traced", [True, False])
def test_a_restart_tells_the_time_outside_the_back_end_only_where_that_is_asked(
    program: Path, traced: bool, tmp_path: Path
) -> None:
    (tmp_path / "rows").mkdir()
    for port in CASE.signature.inputs:
        np.save(tmp_path / "rows" / f"{port.name}.npy", CASE.samples(8)[port.name].numpy())
    here = {"description": "here", "transport": "local", "runtimes": ("executorch",)}
    job = Job("pte", program, "executorch", CASE.signature)
    session = Session(Target.model_validate(here), [job], Journal(tmp_path / "kept"), traced)
    timing = session.time(["pte"], tmp_path / "rows", SHORT, 0)["pte"]
    assert isinstance(timing, Timing), timing
    share = timing.restart.undelegated_time
    assert (share is not None and 0 < share < 1) if traced else share is None
