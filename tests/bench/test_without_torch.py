"""`edgekd bench` where there is no torch: on a small device, or in a small image."""

import importlib.metadata as metadata
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import edgekd
from tests.bench.conftest import write_model, write_targets

DOCUMENT = Path(__file__).parents[2] / "docs" / "bench.md"


def named() -> list[str]:
    """Return the packages that the document says are enough."""
    line = re.search(r"pip install --no-deps \.\n\s+pip install (.*)", DOCUMENT.read_text())
    assert line
    return line[1].split()


def with_needs(names: list[str]) -> Iterator[metadata.Distribution]:
    """Yield distributions and all that they need."""
    waiting, seen = list(names), set()
    while waiting:
        found = metadata.distribution(waiting.pop())
        if found.name not in seen:
            seen.add(found.name)
            yield found
            needs = [Requirement(text) for text in found.requires or ()]
            waiting += [r.name for r in needs if not r.marker or r.marker.evaluate({"extra": ""})]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an interpreter that has edgekd, what the document names, and nothing else."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/*/site-packages")
    (site / "edgekd").symlink_to(edgekd.__path__[0])
    for found in with_needs(named()):
        for top in {path.parts[0] for path in found.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(str(found.locate_file(top)))
    return folder / "bin" / "python"


def test_a_file_is_measured_and_reported(python: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / "model.onnx")
    write_targets(tmp_path)
    words = ["-m", "edgekd", "bench", str(model), "--target", "fast", "--json"]
    gate = ["--gate", "latency_p50_ms<=1000"]
    done = subprocess.run(
        [python, *words, *gate], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (check,) = json.loads(done.stdout.splitlines()[-1])["report"]["checks"]
    assert [gate["verdict"] for gate in check["gates"]] == ["pass"]
    (page,) = tmp_path.glob("runs/*/report.html")
    assert "<svg" in page.read_text()
    imported = subprocess.run([python, "-c", "import torch"], capture_output=True, check=False)
    assert imported.returncode != 0


def test_a_gate_that_needs_answers_is_none_of_a_file(python: Path, tmp_path: Path) -> None:
    words = ["-m", "edgekd", "bench", "model.onnx", "--gate", "accuracy>=0.9"]
    done = subprocess.run(
        [python, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "'accuracy' cannot be measured of a model file alone" in done.stderr


def test_a_pte_file_is_refused_with_what_reads_it(python: Path, tmp_path: Path) -> None:
    (tmp_path / "model.pte").write_bytes(b"nothing of ExecuTorch's")
    write_targets(tmp_path)
    words = ["-m", "edgekd", "bench", "model.pte", "--target", "fast"]
    done = subprocess.run(
        [python, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "What a .pte file takes is read by ExecuTorch's Python package" in done.stderr
