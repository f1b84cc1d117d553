"""What the command line asks of a benchmark, read and checked before anything is opened."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from edgekd.core.errors import Problem, RequestError, nearest

GATE = re.compile(r"\s*(\w+)\s*((?:<=|>=|<|>).+)")
NUMBER = r"([-+]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?)"
VALUES = re.compile(rf"{NUMBER}(?:\.\.{NUMBER})?")
LEVELS, MODES = ("all", "extended", "basic", "off"), ("quick", "standard", "thorough")
COMPARING = ("speedup", "size_ratio")
T = TypeVar("T")
Range = tuple[float, float]
"""The least and the largest value of an input; both the same for one value."""


@dataclass(frozen=True)
class Asked:
    """One command."""

    model: Path
    against: Path | None = None
    targets: Sequence[str] = ("cpu",)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """By input."""
    dims: Mapping[str, int] = field(default_factory=dict)
    """By the name of a dimension that varies."""
    values: Mapping[str, Range] = field(default_factory=dict)
    """By input."""
    data: Path | None = None
    seed: int = 0
    mode: str | None = None
    threads: int | None = None
    graph_level: str | None = None
    profile: bool | None = None
    """Whether operators are timed too; None as the mode says."""
    throughput: bool | None = None
    """Whether samples a second are measured too."""
    sustained_s: float | None = None
    """How long programs run without a pause."""
    gates: Mapping[str, str] = field(default_factory=dict)


def read_shapes(texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Return the sizes of inputs, of texts like `image=1x3x224x224`; RequestError if one is none.

    A scalar has an empty shape: `rate=`.
    """

    def shape(text: str) -> tuple[int, ...]:
        return tuple(_count(size) for size in text.split("x")) if text else ()

    return _named("--shape", texts, shape, "image=1x3x224x224")


def read_dims(texts: Iterable[str]) -> dict[str, int]:
    """Return the sizes of dimensions, of texts like `batch=1`."""
    return _named("--dim", texts, _count, "batch=1")


def read_values(texts: Iterable[str]) -> dict[str, Range]:
    """Return the values of inputs, of texts like `ids=0..30521` or `rate=16000`."""

    def values(text: str) -> Range:
        match = VALUES.fullmatch(text)
        if not match:
            raise ValueError
        low, high = float(match[1]), float(match[2] or match[1])
        if low > high:
            raise ValueError
        return low, high

    return _named("--values", texts, values, "ids=0..30521 or rate=16000")


def _count(text: str) -> int:
    size = int(text)
    if size < 1:
        raise ValueError
    return size


def _named(
    option: str, texts: Iterable[str], read: Callable[[str], T], example: str
) -> dict[str, T]:
    """Return what each `name=text` says; a name may hold '=' itself, the last one counts."""
    found: dict[str, T] = {}
    problems = []
    for text in texts:
        name, sign, rest = text.rpartition("=")
        try:
            if not sign or not name:
                raise ValueError
            found[name] = read(rest.strip())
        except ValueError:
            problems.append(Problem("", f"'{text}' is not understood.", f"As: {example}", option))
    if problems:
        raise RequestError(problems)
    return found


def read_gates(texts: Iterable[str], *, compares: bool) -> dict[str, str]:
    """Return the limits by name, of texts like `latency_p90_ms<=5`; RequestError if one is none.

    Only what needs no labels can be demanded, and what needs another program with `compares` alone.
    """
    from edgekd.measures.contract import check_gate

    known = set(_gates(compares=compares))
    found, problems = {}, []
    for text in texts:
        match = GATE.fullmatch(text)
        try:
            if not match:
                raise ValueError(f"'{text}' is no gate: expected, say, 'latency_p90_ms<=5'.")
            if match[1] in COMPARING and not compares:
                raise ValueError(f"'{match[1]}' compares two models: give the other --against.")
            if match[1] not in known:
                raise ValueError(
                    f"'{match[1]}' cannot be measured of a model file alone. "
                    f"{nearest(match[1], known)}"
                )
            found[match[1]] = check_gate(match[1], match[2]).text
        except ValueError as error:
            problems.append(Problem("", str(error), "", "--gate"))
    if problems:
        raise RequestError(problems)
    return found


def _gates(*, compares: bool) -> list[str]:
    """Return what can be demanded without labels."""
    from edgekd.measures.contract import gate_names, measures

    has = {"latencies_ms", "restarts", "size_bytes"}
    has |= {"reference_latencies_ms", "reference_size_bytes"} if compares else set()
    return [name for plugin in measures() if {*plugin.needs} <= has for name in gate_names(plugin)]


def check_choices(asked: Asked) -> None:
    """Refuse options that have no such value; RequestError has all of them."""
    choices = (("--mode", asked.mode, MODES), ("--graph-level", asked.graph_level, LEVELS))
    problems = [
        Problem("", f"there is no '{given}'.", nearest(given, known), option)
        for option, given, known in choices
        if given is not None and given not in known
    ]
    if problems:
        raise RequestError(problems)
