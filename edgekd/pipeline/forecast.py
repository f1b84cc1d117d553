"""What a rehearsal says of the run: its time and disk, and whether some budget is out of reach."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from edgekd.core.artifact import Manifest
from edgekd.pipeline.plan import Step
from edgekd.pipeline.rehearsal import Rehearsed, budgets

Verdict = Literal["within reach", "out of reach", "not told", "no budget", "not made"]


@dataclass(frozen=True)
class Share:
    """What one stage will have of the run."""

    stage: str
    kind: str
    action: Literal["keep", "run"]
    seconds: float | None
    """An estimate; None of a stage whose rehearsal failed."""
    rests_on: str
    """What was timed."""
    disk_bytes: int | None
    """Size of its result."""
    meanwhile_bytes: int | None
    """Most that it takes while it is made, as its kind estimates it."""


def shares(rehearsed: Rehearsed) -> list[Share]:
    """Return what each stage will have, in the order of the run; what is kept takes nothing."""
    return [_share(step, rehearsed.made.get(step.stage.name)) for step in rehearsed.plan.steps]


def _share(step: Step, made: Manifest | None) -> Share:
    stage = step.stage
    if step.action == "keep":
        return Share(stage.name, stage.kind, "keep", 0.0, "kept", 0, 0)
    if made is None:
        return Share(stage.name, stage.kind, "run", None, "its rehearsal failed", None, None)
    told = made.facts["rehearsed"]
    size = round(told["grows"] * sum(file["size"] for file in made.files.values()))
    most = max(size, int((stage.needs or {}).get("disk_bytes", 0)))
    return Share(stage.name, stage.kind, "run", told["seconds"], told["rests_on"], size, most)


def total(parts: list[Share]) -> dict[str, float | int]:
    """Return the seconds of all stages, the bytes of all results, and the most at any time."""
    results = most = 0
    for part in parts:
        most = max(most, results + (part.meanwhile_bytes or 0))
        results += part.disk_bytes or 0
    seconds = sum(part.seconds or 0.0 for part in parts)
    return {"seconds": round(seconds, 3), "disk_bytes": results, "most_disk_bytes": most}


def gates(rehearsed: Rehearsed) -> list[Mapping[str, Any]]:
    """Return the verdicts, one row per gate, program and target."""
    return [row for made in rehearsed.made.values() for row in budgets(made)]


def not_judged(rehearsed: Rehearsed) -> list[str]:
    """Return the names of gates that untrained weights say nothing of."""
    found: dict[str, None] = {}
    for step in rehearsed.plan.steps:
        made = rehearsed.made.get(step.stage.name)
        judged = {row["name"] for row in budgets(made)} if made else set()
        found |= dict.fromkeys(n for n in step.stage.options.get("gates") or () if n not in judged)
    return [*found]


def verdict(rehearsed: Rehearsed) -> Verdict:
    """Return whether some budget of time, size or memory can never be met."""
    found = {row["verdict"] for row in gates(rehearsed)}
    if "fail" in found:
        return "out of reach"
    if rehearsed.exit_code:
        return "not made"
    if not found:
        return "no budget"
    return "not told" if "inconclusive" in found else "within reach"


def sentence(rehearsed: Rehearsed) -> str:
    """Return the verdict for people."""
    rows, left = gates(rehearsed), not_judged(rehearsed)
    beside = f" Not judged: {', '.join(left)}." if left else ""
    failed = [f"{r['name']} of {r['program']} on {r['target']}" for r in rows if _is(r, "fail")]
    if failed:
        which = ", ".join(failed)
        return f"{len(failed)} of {len(rows)} budgets can never be met: {which}.{beside}"
    if rehearsed.exit_code:
        return f"Not all of it can be made or measured.{beside}"
    if not rows:
        return f"There is no budget of time, size or memory to judge.{beside}"
    if open_ := sum(_is(row, "inconclusive") for row in rows):
        return f"No budget is out of reach; {open_} of {len(rows)} could not be told.{beside}"
    budgets = "The budget is" if len(rows) == 1 else f"All {len(rows)} budgets are"
    return f"{budgets} within reach.{beside}"


def _is(row: Mapping[str, Any], what: str) -> bool:
    return bool(row["verdict"] == what)


def as_document(rehearsed: Rehearsed) -> dict[str, Any]:
    """Return all of it as JSON values."""
    parts = shares(rehearsed)
    return {
        "name": rehearsed.plan.resolved.name,
        "exit_code": rehearsed.exit_code,
        "verdict": verdict(rehearsed),
        "says": sentence(rehearsed),
        "gates": [*gates(rehearsed)],
        "not_judged": not_judged(rehearsed),
        "measured": [*_measured(rehearsed)],
        "stages": [asdict(part) for part in parts],
        "total": total(parts),
        "failed": dict(rehearsed.failed),
    }


def _measured(rehearsed: Rehearsed) -> Iterator[dict[str, Any]]:
    """Yield what was measured of each program on each target; of its answers nothing is said."""
    for stage, document in rehearsed.measurements.items():
        roles = {program.name: program.role for program in document.programs}
        for one in document.measurements:
            known = {name: one.quantities.get(name) for name in COSTS}
            yield {
                "stage": stage,
                "target": one.target,
                "program": one.program,
                "role": roles[one.program],
                "quantities": {name: q.as_dict() for name, q in known.items() if q},
                "notes": list(one.notes),
                "failure": one.failure,
            }


COSTS = (
    "latency_p50_ms",
    "latency_p90_ms",
    "speedup",
    "size_mib",
    "size_ratio",
    "peak_rss_mib",
)
"""What is told of a program."""
