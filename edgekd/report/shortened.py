"""What a page shows in full of a report that is too large for one: the part that decides.

A program on a target costs a page some 50 kB, most of it drawings, a training 20 and what the key
of a stage was made of 10. Of a sweep on many targets the page has the contract of everything, and
all else of a few; the JSON of the report has the rest.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence

from edgekd.report.schema.check import Check
from edgekd.report.schema.provenance import StageRecord
from edgekd.report.schema.report import Report
from edgekd.report.words import listed

MOST_ROWS = 32
"""Programs on targets, over all checks."""
MOST_TARGETS = 4
"""As many are shown of a check that may have so many rows, even if of few programs each."""
MOST_TRAININGS, MOST_STAGES = 12, 40
_OPEN = {"fail": 0, "inconclusive": 1, "pass": 2}


def shortened(report: Report) -> Report:
    """Return the report as far as a page shows it in full; the same where all of it fits."""
    shown = _shown(report)
    most = MOST_ROWS // max(1, len(shown))
    checks = [_check(check, report.headline.program, most) for check in shown]
    stages = report.provenance.stages
    programs = {step.program for check in checks for step in check.steps}
    near = _above(programs, stages)
    names = set(_first((stage.name for stage in stages), near, MOST_STAGES))
    trained = set(_first((one.stage for one in report.training), near, MOST_TRAININGS))
    ranked = set(_first((one.stage for one in report.sensitivity), near, MOST_TRAININGS))
    told = [
        stage if stage.name in names else stage.model_copy(update={"identity": {}})
        for stage in stages
    ]
    update = {
        "checks": checks,
        "training": [one for one in report.training if one.stage in trained],
        "sensitivity": [one for one in report.sensitivity if one.stage in ranked],
        "provenance": report.provenance.model_copy(update={"stages": told}),
    }
    return report.model_copy(update=update)


def left_out(whole: Report, part: Report) -> str:
    """Return in words how much of a report is shown in full; nothing where all of it is."""
    counts = [dict(_sizes(report)) for report in (part, whole)]
    said = [
        f"{counts[0][what]} of {number} {what}"
        for what, number in counts[1].items()
        if counts[0][what] < number
    ]
    return f"In full: {listed(said)}. The JSON of this report has all." if said else ""


def _sizes(report: Report) -> Iterator[tuple[str, int]]:
    rows = [(check.stage, row) for check in report.checks for row in check.rows]
    yield "targets", len({(stage, row.target) for stage, row in rows})
    yield "programs", len({(stage, row.program) for stage, row in rows})
    yield "trainings", len(report.training)
    yield "layer rankings", len(report.sensitivity)
    yield "stages' keys", sum(bool(stage.identity) for stage in report.provenance.stages)


def _shown(report: Report) -> Sequence[Check]:
    """Return the checks, of more than there are rows the headline's and those that are not kept."""
    worst = {
        check.stage: min((_OPEN[gate.verdict] for gate in check.gates), default=2)
        for check in report.checks
    }
    near = {
        check.stage
        for check in report.checks
        if report.headline.program in {step.program for step in check.steps}
    }
    ranked = sorted(worst, key=lambda stage: worst[stage])
    names = set(_first(ranked, near, MOST_ROWS))
    return [check for check in report.checks if check.stage in names]


def _check(check: Check, headline: str | None, most: int) -> Check:
    """Return a check of at most so many rows."""
    if len(check.rows) <= most:
        return check
    targets = _targets(check, min(most, max(MOST_TARGETS, most // max(1, len(check.steps)))))
    programs = _programs(check, headline, targets, max(1, most // len(targets)))

    def kept(parts: Iterable[object]) -> list[object]:
        return [
            one
            for one in parts
            if getattr(one, "program", None) in {None, *programs}
            and getattr(one, "target", None) in {None, *targets}
        ]

    update: dict[str, object] = {
        name: kept(getattr(check, name))
        for name in ("steps", "rows", "quantized", "left_out", "operators", "long_runs", "gates")
    }
    update["throughput"] = kept(check.throughput)
    update["machines"] = [one for one in check.machines if one.name in targets]
    update["trade_offs"] = [
        one.model_copy(update={"points": kept(one.points)})
        for one in check.trade_offs
        if one.target in targets
    ]
    return check.model_copy(update=update)


def _targets(check: Check, most: int) -> Collection[str]:
    """Return the first target, then those whose gates are not kept, then the others, in order."""
    names = [machine.name for machine in check.machines]
    worst = dict.fromkeys(names, 2)
    for gate in check.gates:
        worst[gate.target] = min(worst.get(gate.target, 2), _OPEN[gate.verdict])
    ranked = sorted(names[1:], key=lambda name: worst[name])
    return [names[0], *ranked][:most]


def _programs(
    check: Check, headline: str | None, targets: Collection[str], most: int
) -> Collection[str]:
    """Return the reference, what the headline is about, and what is on a front; then the others."""
    fronts = [p.program for one in check.trade_offs if one.target in targets
              for p in one.points if p.on_front]  # fmt: skip
    names = [step.program for step in check.steps]
    found = [check.reference, headline, *sorted({*fronts}, key=lambda name: -fronts.count(name))]
    ranked = [name for name in dict.fromkeys(found) if name in names]
    return list(dict.fromkeys([*ranked, *names]))[:most]


def _above(programs: Collection[str], stages: Sequence[StageRecord]) -> Collection[str]:
    """Return the stages that programs were exported by, and all that those rest on."""
    inputs = {stage.name: stage.inputs for stage in stages}
    found = {name for name in inputs if name in programs or name.rpartition(".")[0] in programs}
    waiting = [*found]
    while waiting:
        new = {*inputs.get(waiting.pop(), {})} - found
        found |= new
        waiting += new
    return found


def _first(names: Iterable[str], near: Collection[str], most: int) -> list[str]:
    """Return so many names, those that are near before the others, each in order."""
    return sorted(names, key=lambda name: name not in near)[:most]
