"""What a worker process is told when it is started."""

import time
from pathlib import Path

import pytest

from edgekd.pipeline.process import CUSTOMS
from edgekd.pipeline.workshop import Workshop


def _environment(log: Path) -> dict[str, str]:
    with Workshop(log) as workshop:
        process = workshop.start()
        place = Path(f"/proc/{process.pid}/environ")  # type: ignore[attr-defined]
        while not (told := place.read_bytes()):  # empty until the new program has been loaded
            time.sleep(0.01)
        workshop.kill()
    return dict(line.split("=", 1) for line in told.decode().split("\0") if line)


def test_a_worker_keeps_its_memory_and_lets_waiting_threads_sleep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in CUSTOMS:
        monkeypatch.delenv(name, raising=False)
    assert CUSTOMS.items() <= _environment(tmp_path / "log").items()


def test_what_the_user_says_of_them_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    found = _environment(tmp_path / "log")
    assert found["MALLOC_TRIM_THRESHOLD_"] == "131072"
    assert found["OMP_WAIT_POLICY"] == CUSTOMS["OMP_WAIT_POLICY"]
