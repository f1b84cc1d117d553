"""Shapes are checked on every call of a test run, wherever tensors are; chance is fixed."""

import atexit
import gc
import json
import os
import pathlib
import shutil
import tempfile

import jaxtyping

TENSORS = (
    "ops",
    "objectives",
    "data",
    "tasks",
    "models",
    "transforms",
    "measures",
    "runtimes",
    "train",
    "stages",
)
# Python's 700 have it look at all of torch again and again: one second in seven of the tests
gc.set_threshold(10_000)
jaxtyping.install_import_hook([f"edgekd.{room}" for room in TENSORS], "beartype.beartype")

if "PYTEST_XDIST_WORKER" in os.environ:
    # one core each: threads that wait for one another on cores of others take many times as long
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # who measures waits for nobody but itself
    os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix="edgekd-tests-")
    atexit.register(shutil.rmtree, tempfile.tempdir, ignore_errors=True)

from collections.abc import Callable, Iterator  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

from edgekd.core.config import Config  # noqa: E402
from edgekd.core.registry import Plugin, Registry  # noqa: E402

settings.register_profile("fixed", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("fixed")


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, pathlib.Path]]:
    """Return what is done to the disk from here on: `sync` of a path, `name` that a path takes."""
    done: list[tuple[str, pathlib.Path]] = []
    fsync = os.fsync

    def sync(descriptor: int) -> None:
        done.append(("sync", pathlib.Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    def noting(
        move: Callable[[pathlib.Path, pathlib.Path], pathlib.Path],
    ) -> Callable[[pathlib.Path, pathlib.Path], pathlib.Path]:
        def moved(path: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
            done.append(("name", pathlib.Path(target)))
            return move(path, target)

        return moved

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(pathlib.Path, "rename", noting(pathlib.Path.rename))
    monkeypatch.setattr(pathlib.Path, "replace", noting(pathlib.Path.replace))
    return done


@pytest.fixture(scope="module")
def plugged() -> Iterator[Callable[..., None]]:
    """Return a function that registers a plug-in under a name until the module's tests are over."""
    with pytest.MonkeyPatch.context() as patch:

        def plug(
            registry: Registry, name: str, target: Callable[..., Any], **traits: object
        ) -> None:
            plugin = Plugin(registry.kind, name, target, Config, traits=traits)
            patch.setitem(registry._loaded, name, plugin)

        yield plug


@pytest.fixture(scope="session")
def fits() -> Callable[[str, str], None]:
    """Return a function that holds a JSON text against a published schema: `report-2`."""
    import jsonschema

    folder = Path(__file__).parents[1] / "docs" / "schemas"
    known: dict[str, Any] = {}

    def check(name: str, text: str) -> None:
        if name not in known:
            schema = json.loads((folder / f"{name}.json").read_text())
            jsonschema.Draft202012Validator.check_schema(schema)
            known[name] = jsonschema.Draft202012Validator(schema)
        problems = [
            f"{e.json_path}: {e.message[:200]}" for e in known[name].iter_errors(json.loads(text))
        ]
        assert problems == []

    return check


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes texts by name below a folder, and returns the folder."""

    def write(**files: str) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


@pytest.fixture(scope="session")
def runners(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache folder with the C++ runner of this machine, built once for all tests."""
    import importlib.util
    import shutil

    if shutil.which(os.environ.get("CXX", "g++")) is None:
        pytest.skip("there is no g++ to build the C++ runner with")
    if importlib.util.find_spec("executorch") is None:
        pytest.skip("executorch is not installed, whose libraries the C++ runner takes")
    from edgekd.devices.native.build import build_runner
    from edgekd.devices.native.runners import this_machine

    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        build_runner("executorch", this_machine(), None)
    return cache


@pytest.fixture
def native(runners: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have the C++ runner found as if `edgekd runner build` had been run; return its cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(runners))
    return runners
