"""Structure-aware mutants of JSON files."""

import copy
import json
import random
from typing import Any

from fuzz import hostile

VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 1.5, 2**31, 2**63, 2**64, 10**400, 1e308, float("nan")),
    *(float("inf"), "", "x", "../../etc/passwd", "/etc/passwd", "a\0b", "\ud800", "é", "9" * 5000),
    *([], {}, [[]], [None], {"": ""}, {"kind": "resnet"}, "\x1b[2J", "f32", "batch", "$x"),
]


def mutated(content: bytes, rng: random.Random, *, seal: Any = None) -> bytes:
    """Return the document after a few changes; `seal` makes it look as we wrote it."""
    value = json.loads(content)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        value = _changed(value, rng)
    if seal is not None:
        value = seal(value)
    if rng.random() < 0.02:
        return b'{"a":' * 100_000
    return json.dumps(value, indent=rng.choice([None, 1])).encode("utf-8", "surrogatepass")


def _changed(value: Any, rng: random.Random) -> Any:
    """Return the value with one place of it changed, wherever that is."""
    inside = (
        list(value)
        if isinstance(value, dict)
        else range(len(value or ()))
        if isinstance(value, list)
        else []
    )
    if not inside or rng.random() < 0.1:
        return copy.deepcopy(rng.choice([*VALUES, rng.choice(hostile.TEXTS)]))
    at = rng.choice(inside)
    change = rng.random()
    if change < 0.1:
        del value[at]
    elif change < 0.15 and isinstance(value, dict):
        value[rng.choice(hostile.KEYS)] = value.pop(at)
    elif change < 0.2 and isinstance(value, dict):
        value[rng.choice(hostile.KEYS)] = copy.deepcopy(rng.choice(VALUES))
    elif change < 0.25 and isinstance(value, list):
        value.append(copy.deepcopy(value[at]))
    else:
        value[at] = _changed(value[at], rng)
    return value
