"""Quality against latency: the points, the front, and what the budget allows."""

from collections.abc import Mapping, Sequence

from edgekd.core.quantity import Quantity
from edgekd.core.results import Gate
from edgekd.report.schema.trade_off import Candidate, TradeOff
from edgekd.report.words import ITSELF, UNLABELLED, clause, quality_of


def trade_off(
    target: str,
    measured: Mapping[str, Mapping[str, Quantity]],
    gates: Sequence[Gate],
    reference: str,
) -> TradeOff | None:
    """Return one target's picture; None where fewer than two programs have both numbers.

    `measured` holds the quantities of each program, `gates` those judged on this target.
    """
    limits = [gate for gate in gates if gate.name.startswith("latency_p")]
    latency = limits[0].name if limits else "latency_p50_ms"
    score = quality_of(measured.values())
    if score == UNLABELLED and latency in measured.get(reference, {}):
        measured = {**measured, reference: {**measured[reference], score: ITSELF}}
    both = {n: (q[latency], q[score]) for n, q in measured.items() if {latency, score} <= {*q}}
    if len(both) < 2:
        return None
    values = [(time.value, quality.value) for time, quality in both.values()]
    points = [
        Candidate(
            program=name,
            latency=time,
            quality=quality,
            on_front=not any(_beats(other, (time.value, quality.value)) for other in values),
        )
        for name, (time, quality) in both.items()
    ]
    return TradeOff(
        target=target,
        latency_name=latency,
        quality_name=score,
        points=points,
        latency_limit_ms=_least(gates, latency),
        quality_floor=_floor(gates, score, measured.get(reference, {}).get(score)),
    )


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and one[0] <= other[0] and one[1] >= other[1]


def _bounds(gates: Sequence[Gate], name: str, relation: str) -> list[float]:
    parts = [clause(gate.limit) for gate in gates if gate.name == name]
    return [part[1] for part in parts if part and part[0].startswith(relation)]


def _least(gates: Sequence[Gate], name: str) -> float | None:
    return min(_bounds(gates, name, "<"), default=None)


def _floor(gates: Sequence[Gate], score: str, reference: Quantity | None) -> float | None:
    floors = _bounds(gates, score, ">")
    drop = _least(gates, f"{score}_drop")
    if drop is not None and reference:
        floors.append(reference.value - drop)
    return max(floors, default=None)
