"""Nested values as flat ones: curves take numbers by name, settings and tags take texts."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from edgekd.core.quantity import Quantity


def of_epoch(entry: Mapping[str, Any]) -> dict[str, float]:
    """Return an epoch of a history as numbers by name: `epoch/terms/kd`."""
    named = {"loss": entry["loss"], "learning_rate": entry["learning_rate"]}
    named |= {name: entry[name] for name in ("pruned",) if name in entry}
    for group in ("terms", "validation"):
        named |= {f"{group}/{name}": value for name, value in entry.get(group, {}).items()}
    return {f"epoch/{name}": value for name, value in named.items() if _is_number(value)}


def of_facts(facts: Mapping[str, Any]) -> dict[str, float]:
    """Return the facts that are numbers, with the bounds of those that have an interval."""
    return dict(_numbers("facts", facts))


def texts(value: Any, name: str = "") -> dict[str, str]:
    """Return every leaf of nested options or facts as a text: `train.epochs`, `objective[0]`."""
    if _is_quantity(value):
        return {name: str(Quantity(**value))}
    if isinstance(value, Mapping):
        inner = {f"{name}.{key}" if name else str(key): item for key, item in value.items()}
    elif isinstance(value, list | tuple):
        inner = {f"{name}[{index}]": item for index, item in enumerate(value)}
    else:
        return {name: value if isinstance(value, str) else json.dumps(value)}
    return {k: text for key, item in inner.items() for k, text in texts(item, key).items()}


def _numbers(name: str, value: Any) -> Iterator[tuple[str, float]]:
    if _is_quantity(value):
        yield name, value["value"]
        bounds = ((f"{name}/{bound}", value.get(bound)) for bound in ("low", "high"))
        yield from ((bound, at) for bound, at in bounds if _is_number(at))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _numbers(f"{name}/{key}", item)
    elif _is_number(value):
        yield name, float(value)


def _is_quantity(value: Any) -> bool:
    return isinstance(value, Mapping) and {"value", "unit"} <= {*value}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
