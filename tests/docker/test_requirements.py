import re
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def lists(project: Path, out: Path) -> dict[str, list[str]]:
    script = ROOT / "docker" / "requirements.py"
    subprocess.run([sys.executable, str(script), str(project), str(out)], check=True)
    return {path.stem: path.read_text().splitlines() for path in out.iterdir()}


def test_the_full_image_gets_every_dependency_and_the_slim_one_no_torch(tmp_path: Path) -> None:
    found = lists(ROOT / "pyproject.toml", tmp_path)
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert found["full"] == document["project"]["dependencies"]
    assert found["build"] == document["build-system"]["requires"]
    slim = {Requirement(line).name for line in found["slim"]}
    page = (ROOT / "docs" / "bench.md").read_text()
    named = re.search(r"pip install --no-deps \.\n\s+pip install (.*)", page)
    assert named
    assert slim == {*named[1].split()}
    assert not {"torch", "executorch", "onnx"} & slim
    assert set(found["slim"]) < set(found["full"])


def test_what_is_no_dependency_changes_no_list(tmp_path: Path) -> None:
    changed = tmp_path / "pyproject.toml"
    changed.write_text((ROOT / "pyproject.toml").read_text() + '\n[tool.other]\nname = "x"\n')
    before = lists(ROOT / "pyproject.toml", tmp_path / "before")
    assert lists(changed, tmp_path / "after") == before


def test_the_image_gets_only_what_the_dockerfile_copies() -> None:
    allowed = [
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    copied = [
        word
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    ]
    assert all((ROOT / path).exists() for path in allowed)
    assert {path for path in copied if not path.startswith("targets/")} == set(allowed)
