"""Whether a program keeps its gates, and why that is said."""

import re
from collections.abc import Mapping
from typing import Any

from edgekd.core.quantity import Quantity
from edgekd.core.results import Gate, Verdict
from edgekd.measures.contract import Limit, gate_names, measures, read_limit, terms
from edgekd.ops.statistics import least_n

TIMED = ("latencies_ms", "reference_latencies_ms")
PERCENTILE = re.compile(r"latency_p(\d+)_ms")


def limits_on(
    gates: Mapping[str, str | Mapping[str, str]], target: str, *, exempt: bool = False
) -> dict[str, Limit]:
    """Return the limits that hold on a target, by name: those for all, and its own.

    A target that is `exempt`, such as an emulated one beside real ones, is spared the timed
    limits for all; one that names it stays.
    """
    known = terms()
    texts = {
        name: limit if isinstance(limit, str) else limit.get(target)
        for name, limit in gates.items()
        if not (exempt and isinstance(limit, str) and known[name].timed)
    }
    return {name: read_limit(text) for name, text in texts.items() if text is not None}


def judge(
    name: str,
    limit: Limit,
    *,
    program: str,
    target: str,
    quantities: Mapping[str, Quantity],
    evidence: Mapping[str, Any],
    objection: str = "",
    failure: str = "",
) -> Gate:
    """Return a gate with its verdict; an `objection` to the measurement keeps timed ones open.

    A `failure` says why there can be no measurement: then the gate is not kept.
    """
    measured = quantities.get(name)
    verdict: Verdict = "inconclusive"
    if failure:
        measured, verdict, why = None, "fail", failure
    elif objection and terms()[name].timed:
        why = objection
    elif measured is None:
        why = _missing(name, evidence)
    else:
        verdict = limit.judge(measured)
        why = _reason(measured, verdict)
    return Gate(
        name=name,
        limit=limit.text,
        program=program,
        target=target,
        measured=measured,
        verdict=verdict,
        reason=why,
    )


def _reason(measured: Quantity, verdict: Verdict) -> str:
    if measured.low is None and measured.n is not None:
        return "one restart gives no interval; set bench.restarts to 2 or more"
    if verdict == "inconclusive":
        return f"{measured} reaches across the limit"
    what = "the value" if measured.low is None else "the whole interval"
    return f"{what} {'keeps' if verdict == 'pass' else 'is beyond'} the limit"


def _missing(name: str, evidence: Mapping[str, Any]) -> str:
    """Return in words why a quantity was not measured."""
    needs = next(p.needs for p in measures() if name in gate_names(p))
    absent = [need for need in needs if need not in evidence]
    if absent:
        return f"nothing to measure it by: no {', '.join(absent)}"
    runs = min(sum(map(len, evidence[need])) for need in needs if need in TIMED)
    match = PERCENTILE.fullmatch(name)
    percentile = int(match[1]) if match else 50  # a speedup is of medians
    return (
        f"the {percentile}th percentile needs {least_n(percentile)} runs and rests on {runs}; "
        "raise bench.min_runs or bench.restarts"
    )
