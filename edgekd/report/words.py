"""How the report names things: measures, verdicts, limits, marks."""

import re
from collections.abc import Iterable, Mapping

from edgekd.core.quantity import Quantity
from edgekd.core.results import Gate

LABELS = {
    "accuracy": "Accuracy",
    "accuracy_drop": "Accuracy lost",
    "agreement": "Agreement",
    "negative_flips": "Wrong where the reference is right",
    "cka": "Alignment of scores (CKA)",
    "rank_agreement": "Agreement of ranks",
    "neighbour_agreement": "Same nearest among 10",
    "recall_at_1": "Found first",
    "recall_at_10": "Found among 10",
    "recall_at_1_drop": "Found first, lost",
    "ece": "Calibration error",
    "latency_p50_ms": "Latency p50",
    "latency_p90_ms": "Latency p90",
    "latency_p95_ms": "Latency p95",
    "latency_p99_ms": "Latency p99",
    "latency_p90_estimate_ms": "Latency p90 as LoadGen estimates it",
    "load_ms": "Load",
    "first_ms": "First run",
    "peak_rss_mib": "Peak memory",
    "size_mib": "Size",
    "size_ratio": "Times smaller",
    "speedup": "Speed-up",
    "undelegated_time": "Time outside the backend",
}
SHOWN = {
    "accuracy": ("accuracy_drop", "agreement", "ece"),
    "recall_at_1": ("recall_at_1_drop", "rank_agreement", "recall_at_10", "neighbour_agreement"),
    "agreement": (),
}
"""By the measure that quality goes by: what is lost of it, how alike answers are, what else. By
agreement it goes where nobody labelled the examples."""
UNLABELLED = "agreement"
ITSELF = Quantity(1.0, "share", 1.0, 1.0)
"""How often a program answers as it does."""
SIGNS = {"pass": "✓", "fail": "✗", "inconclusive": "?", "not_judged": "—"}
ENERGY = {"meter": "whole package", "estimate": "estimate"}
SCALES = {"share": (100.0, " %"), "share_difference": (100.0, " pt"), "x": (1.0, "x")}
_CLAUSE = re.compile(r"\s*(<=|>=|<|>|==)\s*([-+0-9.eE]+)\s*$")
_RELATIONS = {"<=": "≤", ">=": "≥", "==": "="}


def quality_of(measured: Iterable[Mapping[str, Quantity]]) -> str:
    """Return the measure that the quality of some programs goes by, of those that they have."""
    have = {name for quantities in measured for name in quantities}
    return next((name for name in SHOWN if name in have), next(iter(SHOWN)))


def likeness_of(quality: str) -> str:
    """Return the measure of how alike answers are, beside one of quality or that one itself."""
    return SHOWN[quality][1] if SHOWN[quality] else quality


def scores_of(quality: str) -> tuple[str, ...]:
    """Return the measure of quality and that of how alike answers are, each once."""
    return tuple(dict.fromkeys((quality, likeness_of(quality))))


def unlabelled(reference: str) -> str:
    """Return what must be known of results without labels."""
    return (
        f"Nobody labelled these examples: how often {reference} and what was made of it are right "
        "is not known, only how often their answers agree"
    )


def label(name: str) -> str:
    """Return a measure's name for people: `latency_p90_ms` is `Latency p90`."""
    return LABELS.get(name, name.replace("_", " "))


def clause(limit: str) -> tuple[str, float] | None:
    """Return a limit's relation and number: `<= 0.01` is `("<=", 0.01)`; None if it has none."""
    match = _CLAUSE.match(limit)
    try:
        return (match[1], float(match[2])) if match else None
    except ValueError:
        return None


def limit_text(gate: Gate) -> str:
    """Return the limit in the unit of what was measured: `<= 0.01` of a share is `≤ 1 pt`."""
    return limit_beside(gate.limit, gate.measured)


def limit_beside(limit: str, measured: Quantity | None) -> str:
    """Return a limit in the unit of a number; as it was written without one."""
    parts = clause(limit)
    if parts is None or measured is None:
        return limit
    unit = measured.unit
    factor, suffix = SCALES.get(unit, (1.0, f" {unit}" if unit else ""))
    return f"{_RELATIONS.get(parts[0], parts[0])} {parts[1] * factor:g}{suffix}"


def value_text(quantity: Quantity) -> str:
    """Return the value without its interval."""
    return str(Quantity(quantity.value, quantity.unit))


def interval_text(quantity: Quantity) -> str:
    """Return the interval alone, `[0.016, 0.019]`; empty where there is none."""
    return str(quantity).removeprefix(value_text(quantity)).strip()


def points_text(old: Quantity, new: Quantity) -> str:
    """Return the change of a share in points with its sign: `-4.2 pt`."""
    points = round(100 * (new.value - old.value), 1)
    return f"{points:+.1f} pt" if points else "0 pt"


def listed(words: list[str]) -> str:
    """Return `a`, `a and b`, or `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 2 else words)


def plural(count: int, one: str) -> str:
    """Return `1 gate` or `3 gates`."""
    return f"{count} {one}" if count == 1 else f"{count} {one}s"


def sentence_of(failure: str) -> str:
    """Return a failure on one line: what happened, then what was written last."""
    happened, _, rest = failure.partition("\n")
    text = ". ".join(filter(None, (happened, " ".join(rest.split()))))
    return text if text.endswith(".") else f"{text}."
