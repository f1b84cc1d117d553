"""What fits in memory."""

from types import SimpleNamespace

import psutil
import pytest

from edgekd.core.limits import MemoryLimit
from edgekd.tasks import holding


@pytest.mark.parametrize(
    ("total", "available", "limit", "most"),
    [
        (1000, 1000, None, 500),
        (1000, 100, None, 80),
        (1000, 1000, MemoryLimit(400, 0), 200),
        (1000, 1000, MemoryLimit(400, 350), 40),
        (1000, 1000, MemoryLimit(4000, 0), 500),
    ],
)
def test_half_of_all_and_most_of_what_is_free_may_be_held(
    monkeypatch, total, available, limit, most
):
    memory = SimpleNamespace(total=total, available=available)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(holding, "memory_limit", lambda: limit)
    assert holding.fits(most)
    assert not holding.fits(most + 1)
