import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from edgekd.core.artifact import digest_file
from edgekd.devices.link import transfer


class Far:
    """A link to a device that has every file."""

    def __init__(self, files: dict[str, str]):
        self.files = files

    async def ask(self, do: str, **_: Any) -> dict[str, Any]:
        assert do == "files"
        return {"files": self.files}


def test_signs_of_life_are_given_while_a_digest_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("large")
    digest, beats = digest_file(tmp_path / "a"), 0

    def slow(_: Path) -> str:
        time.sleep(0.3)
        return digest

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.02)
            beats += 1

    async def both() -> int:
        beating = asyncio.create_task(beat())
        await transfer.push(Far({"": digest}), tmp_path / "a", "there")  # type: ignore[arg-type]
        await transfer.pull(Far({"": digest}), "there", tmp_path / "a")  # type: ignore[arg-type]
        beating.cancel()
        return beats

    monkeypatch.setattr(transfer, "digest_file", slow)
    assert asyncio.run(both()) > 4
