"""Where two JSON values differ."""

from collections.abc import Iterator, Mapping
from typing import Any

ABSENT = object()
"""Stands for what only one of two values has."""


def differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, object, object]]:
    """Yield the leaves in which two JSON values differ: path, old and new, `ABSENT` where none."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*new, *(k for k in old if k not in new)]:
            here = f"{path}.{key}" if path else str(key)
            yield from differences(old.get(key, ABSENT), new.get(key, ABSENT), here)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, pair in enumerate(zip(old, new, strict=True)):
            yield from differences(*pair, f"{path}[{index}]")
    elif old != new:
        yield path, old, new


def shown(value: object) -> str:
    """Return a leaf as text."""
    return "(absent)" if value is ABSENT else str(value)
