"""The contract: what may be demanded of a program, and whether it is kept.

A gate has the name of a quantity that a measure yields and a limit such as `<= 5`. It passes or
fails only where the whole interval lies on one side of the limit.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Annotated

from pydantic import BeforeValidator, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from edgekd.core import kinds
from edgekd.core.errors import nearest
from edgekd.core.quantity import Quantity
from edgekd.core.registry import Plugin
from edgekd.core.results import Verdict
from edgekd.core.signals import EVIDENCE

LIMIT = re.compile(r"\s*(<=|>=|<|>)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")
EXPECTED = 'expected <=, <, >= or > and a number, in quotes, as in "<= 5"'


@dataclass(frozen=True)
class Term:
    """A quantity that can be demanded."""

    name: str
    unit: str
    better: str
    """`higher` or `lower`."""
    bounds: tuple[float | None, float | None]
    """The least and most that it can be; with no most, it is always above the least."""
    timed: bool
    """Whether it rests on running the program against a clock."""
    compares: bool
    """Whether it rests on answers or timings of the reference too."""
    estimated: bool
    """Whether it is a mean over examples, whose interval reaches inside the bounds."""


@dataclass(frozen=True)
class Limit:
    """What a quantity must keep to."""

    relation: str
    value: float
    text: str

    def judge(self, measured: Quantity) -> Verdict:
        """Return whether the whole interval, or an exact value, keeps the limit."""
        low = measured.value if measured.low is None else measured.low
        high = measured.value if measured.high is None else measured.high
        if measured.low is None and measured.n is not None:
            return "inconclusive"
        kept = {self._keeps(low), self._keeps(high)}
        return "inconclusive" if len(kept) == 2 else "pass" if kept == {True} else "fail"

    def _keeps(self, value: float) -> bool:
        return {
            "<=": value <= self.value,
            "<": value < self.value,
            ">=": value >= self.value,
            ">": value > self.value,
        }[self.relation]


def gate_names(plugin: Plugin) -> tuple[str, ...]:
    """Return the names under which a measure's quantities are demanded."""
    names: tuple[str, ...] = plugin.traits.get("gates", (plugin.name,))
    return names


def measures() -> Iterable[Plugin]:
    """Return every measure; where no torch is, which reads answers, those of cost alone."""
    return kinds.measure if find_spec("torch") else kinds.measure.within("cost")


def terms() -> dict[str, Term]:
    """Return all that can be demanded, by name."""
    return {
        name: Term(
            name,
            plugin.traits["unit"],
            plugin.traits["better"],
            plugin.traits["bounds"],
            bool({"restarts", "latencies_ms"} & set(plugin.needs)),
            any(need.startswith(("teacher_", "reference_")) for need in plugin.needs),
            not set(plugin.needs) & set(EVIDENCE),
        )
        for plugin in measures()
        for name in gate_names(plugin)
    }


def read_limit(text: object) -> Limit:
    """Return the limit that a text says; ValueError says what was expected."""
    match = LIMIT.fullmatch(text) if isinstance(text, str) else None
    if not match:
        raise ValueError(f"{text!r} is no limit: {EXPECTED}.")
    assert isinstance(text, str)
    return Limit(match[1], float(match[2]), " ".join(text.split()))


def check_gate(name: str, text: object) -> Limit:
    """Return a gate's limit; ValueError where the name is unknown or nothing could ever keep it."""
    known = terms()
    if name not in known:
        raise ValueError(f"no gate is named '{name}'. {nearest(name, known)}")
    term, limit = known[name], read_limit(text)
    upper = limit.relation.startswith("<")
    if upper != (term.better == "lower"):
        right = "<=" if term.better == "lower" else ">="
        turned = read_limit(f"{right} {limit.value:g}")
        sound = _reachable(term, turned) and not _vacuous(term, turned)
        step = f'Write "{turned.text}".' if sound else _legal(term, turned)
        raise ValueError(
            f"'{limit.text}' would refuse a program for being good: {term.better} {name} is "
            f"better. {step}"
        )
    if not _reachable(term, limit):
        raise ValueError(f"'{limit.text}' cannot be met: {_range(term)}. {_legal(term, limit)}")
    if term.estimated and limit.value == term.bounds[0 if upper else 1]:
        raise ValueError(
            f"'{limit.text}' cannot be met: {name} is estimated from examples, and its interval "
            f"always reaches beyond {limit.value:g}. {_legal(term, limit)}"
        )
    if _vacuous(term, limit):
        raise ValueError(f"'{limit.text}' can never fail: {_range(term)}. {_legal(term, limit)}")
    return limit


def _vacuous(term: Term, limit: Limit) -> bool:
    """Tell whether every value that the quantity can take keeps the limit."""
    least, most = term.bounds
    if limit.relation.startswith("<"):
        return most is not None and limit.value >= most
    return least is not None and limit.value <= least


def _reachable(term: Term, limit: Limit) -> bool:
    """Tell whether any value that the quantity can take keeps the limit."""
    least, most = term.bounds
    if limit.relation.startswith("<"):
        strict = limit.relation == "<" or most is None
        return least is None or (limit.value > least if strict else limit.value >= least)
    return most is None or (limit.value < most if limit.relation == ">" else limit.value <= most)


def _range(term: Term) -> str:
    least, most = term.bounds
    if most is None:
        return f"{term.name} is in {term.unit} and above {least:g}"
    return f"{term.name} is between {least:g} and {most:g}"


def _legal(term: Term, limit: Limit) -> str:
    """Return what limit could be met."""
    least, most = term.bounds
    if most is not None and most < limit.value < 100 * most:
        return f'As a share that may be "{limit.relation} {limit.value / 100:g}".'
    if limit.relation.startswith("<"):
        return f"Give a number above {least:g}."
    return f"Give a number below {most:g}."


def read_gates(value: object) -> object:
    """Return the gates as they stand; every wrong one is reported at its own place."""
    if not isinstance(value, Mapping):
        return value
    errors = []
    for name, limits in value.items():
        each = limits.items() if isinstance(limits, Mapping) else [((), limits)]
        for target, text in each:
            try:
                check_gate(str(name), text)
            except ValueError as error:
                custom = PydanticCustomError("gate", "{text}", {"text": str(error)})
                place = (str(name), *((target,) if target else ()))
                errors.append(InitErrorDetails(type=custom, loc=place, input=text))
    if errors:
        raise ValidationError.from_exception_data("gates", errors)
    return value


Gates = Annotated[Mapping[str, str | Mapping[str, str]], BeforeValidator(read_gates)]
"""Limits by name, or by name and target."""
