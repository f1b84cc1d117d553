"""The same work by one process and by three, each done once for all tests here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch.distributed import TCPStore

PROGRAM = Path(__file__).with_name("scenarios.py")
SIZE = 3
ROOT = Path(__file__).parents[2]


class Found:
    """What a process wrote down."""

    def __init__(self, folder: Path, rank: int):
        self.numbers = json.loads((folder / f"{rank}.json").read_text())
        self.tensors = load_file(folder / f"{rank}.safetensors")
        self.folder = folder


def started(*words: object) -> "subprocess.Popen[bytes]":
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.Popen([sys.executable, str(PROGRAM), *map(str, words)], env=environment)


@pytest.fixture(scope="session")
def alone(tmp_path_factory) -> Found:
    folder = tmp_path_factory.mktemp("alone")
    assert started(folder).wait(300) == 0
    return Found(folder, 0)


@pytest.fixture(scope="session")
def together(tmp_path_factory) -> list[Found]:
    folder = tmp_path_factory.mktemp("together")
    store = TCPStore("127.0.0.1", 0, None, True, wait_for_workers=False)
    every = [started(folder, SIZE, rank, store.port) for rank in range(SIZE)]
    try:
        assert [process.wait(300) for process in every] == [0] * SIZE
    finally:
        for process in every:
            process.kill()
    return [Found(folder, rank) for rank in range(SIZE)]
