"""Where the time of a program goes: by kind of operator, and by module."""

from collections import defaultdict
from collections.abc import Callable, Sequence

from edgekd.core.results import Measurement, OperatorTime
from edgekd.report.schema.operators import OperatorTimes, TimeShare

MOST = 40
"""Modules that are told apart; the rest of a large network is one line."""
OTHERS = "all others"
Key = tuple[str, bool | None]


def operator_times(measurement: Measurement) -> OperatorTimes:
    """Return the profile of a measurement that has one, added up."""
    profile = measurement.profile
    assert profile, "only measurements with a profile are asked"
    operators, inside = profile.operators, sum(each.us for each in profile.operators)
    within = [each.us for each in operators if each.delegated]
    told = any(each.delegated is not None for each in operators)
    named = any(each.module for each in operators)
    return OperatorTimes(
        program=measurement.program,
        target=measurement.target,
        runs=profile.runs,
        whole_us=profile.whole_us,
        inside_us=inside,
        delegated=sum(within) / inside if told and inside else None,
        by_operator=_shares(operators, lambda each: (each.operator, each.delegated), inside),
        by_module=_shares(operators, lambda each: (each.module, None), inside) if named else [],
    )


def _shares(
    operators: Sequence[OperatorTime], key: Callable[[OperatorTime], Key], inside: float
) -> list[TimeShare]:
    """Return the times of operators of one key added up, the slowest first."""
    spent: dict[Key, float] = defaultdict(float)
    calls: dict[Key, float] = defaultdict(float)
    for each in operators:
        spent[key(each)] += each.us
        calls[key(each)] += each.calls
    keys = sorted(spent, key=lambda one: -spent[one])
    parts = [(name, delegated, calls[name, delegated], spent[name, delegated])
             for name, delegated in keys[:MOST]]  # fmt: skip
    if rest := keys[MOST:]:
        total = sum(calls[one] for one in rest), sum(spent[one] for one in rest)
        parts.append((OTHERS, None, *total))
    found, up_to = [], 0.0
    for name, delegated, times, us in parts:
        up_to += us
        found.append(
            TimeShare(
                name=name,
                delegated=delegated,
                calls=times,
                us=us,
                share=us / inside if inside else 0.0,
                up_to=up_to / inside if inside else 0.0,
            )
        )
    return found
