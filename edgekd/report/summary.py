"""The verdict, one sentence (what was made, what it costs, what was lost), and the key figures."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from edgekd.core.quantity import Quantity
from edgekd.core.results import (
    Gate,
    MeasuredProgram,
    MeasuredTarget,
    Measurement,
    Measurements,
)
from edgekd.report.outcome import outcome
from edgekd.report.schema.headline import Headline, KeyFigure, Outcome
from edgekd.report.words import (
    SHOWN,
    UNLABELLED,
    label,
    likeness_of,
    listed,
    plural,
    quality_of,
    unlabelled,
)

MOST_TARGETS = 4
START = ("load_ms", "peak_rss_mib")
"""Shown beside the latency where nothing was scored."""
_WORST_LAST = ("pass", "not_judged", "inconclusive", "fail")


def summarise(
    found: Sequence[tuple[Measurements, bool]], marks: Mapping[str, list[str]] | None = None
) -> Headline:
    """Return the verdict over all gates, and the chosen candidate of the first that has one.

    With each check comes whether it allows gates to be inconclusive; `marks` says by target why
    its latencies need care.
    """
    verdict, words = verdict_of(
        [gate for one, _ in found for gate in one.gates],
        [gate for one, allows in found if allows for gate in one.gates],
        sum(len(one.failures()) for one, _ in found),
    )
    if not any(one.gates for one, _ in found):
        words = outcome([one for one, _ in found]) or words
    for one, _ in found:
        if chosen := choose(one):
            program, target = chosen
            return Headline(
                verdict=verdict,
                words=words,
                sentence=sentence(one, program, target),
                program=program.name,
                target=target.name,
                figures=list(_figures(one, program, marks or {})),
            )
    return Headline(
        verdict=verdict,
        words=words,
        sentence="No candidate was measured.",
        program=None,
        target=None,
        figures=[],
    )


def verdict_of(
    gates: Sequence[Gate], lenient: Sequence[Gate] = (), failures: int = 0
) -> tuple[Outcome, str]:
    """Return the contract's verdict and how to say it; `lenient` gates may be inconclusive.

    A program that could not be measured, though no gate is about it, keeps no contract either.
    """
    verdict, words = _of_gates(gates, lenient)
    if not failures:
        return verdict, words
    return "fail", f"{words}; {plural(failures, 'measurement')} failed"


def _of_gates(gates: Sequence[Gate], lenient: Sequence[Gate]) -> tuple[Outcome, str]:
    count = Counter(gate.verdict for gate in gates)
    allowed = Counter(gate.verdict for gate in lenient)["inconclusive"]
    whole = plural(len(gates), "gate")
    if not gates:
        return "not_judged", "No contract: the pipeline sets no gates"
    if count["fail"]:
        open_too = f", {count['inconclusive']} inconclusive" if count["inconclusive"] else ""
        return "fail", f"Contract not kept: {count['fail']} of {whole} failed{open_too}"
    if allowed and allowed == count["inconclusive"]:
        return "pass", f"Contract kept, {plural(allowed, 'gate')} inconclusive and allowed"
    if count["inconclusive"]:
        return (
            "inconclusive",
            f"Contract not proven: {count['inconclusive']} of {whole} inconclusive",
        )
    return "pass", f"Contract kept: {'1 gate' if len(gates) == 1 else f'all {whole}'} passed"


def choose(found: Measurements) -> tuple[MeasuredProgram, MeasuredTarget] | None:
    """Return the candidate with the best verdict, the fastest of several, and its target.

    The target is the first that is no emulation, else the first on which one was measured.
    """

    def rank(program: MeasuredProgram) -> tuple[int, float]:
        verdict, _ = verdict_of([gate for gate in found.gates if gate.program == program.name])
        p50 = at[program.name].quantities.get("latency_p50_ms")
        return _WORST_LAST.index(verdict), p50.value if p50 else float("inf")

    for target in sorted(found.targets, key=lambda target: target.emulated):
        at = {m.program: m for m in found.measurements if m.target == target.name}
        choices = [p for p in found.programs if p.role == "candidate" and p.name in at]
        if choices:
            return min(choices, key=rank), target
    return None


def sentence(found: Measurements, program: MeasuredProgram, target: MeasuredTarget) -> str:
    """Return what the program is, what it costs on the target, and what was lost."""
    measured = _quantities(found, program.name, target.name)
    failed = [m for m in found.failures() if (m.program, m.target) == (program.name, target.name)]
    name = next((n for n in _latencies(found.gates) if n in measured), None)
    if target.emulated:  # an emulator's latency supports no claim
        name = None
    costs = [f"takes {measured[name]} at {name[8:11]} on {target.name}"] if name else []
    costs.append(f"needs {size_of(program)} of storage")
    made = f"{program.name} ({program.precision}, {program.runtime}) {listed(costs)}."
    said = list(_comparisons(measured, target.emulated))
    made += "".join(f" It could not be measured on {m.target}: it {m.happened}." for m in failed)
    made += f" Against {found.reference}: {'; '.join(said)}." if said else ""
    if quality_of(m.quantities for m in found.measurements) == UNLABELLED:
        made += f" {unlabelled(found.reference)}."
    return made


def size_of(program: MeasuredProgram) -> Quantity:
    """Return a program's size in MiB."""
    return Quantity(program.size_bytes / 2**20, "MiB")


def _comparisons(measured: Mapping[str, Quantity], emulated: bool) -> Iterator[str]:
    speedup = measured.get("speedup")
    if speedup and not emulated:
        yield f"{speedup} as fast"
    if smaller := measured.get("size_ratio"):
        yield f"{smaller} smaller"
    for name, what in (("accuracy", "accuracy"), ("recall_at_1", "what is found first")):
        if drop := measured.get(f"{name}_drop"):
            yield _lost(drop, what)
    if agreement := measured.get("agreement"):
        yield f"the same answer in {agreement} of cases"
    if ranks := measured.get("rank_agreement"):
        yield f"ranks by nearness agree to {ranks}"


def _lost(drop: Quantity, what: str) -> str:
    if drop.value >= 0:
        return f"{drop} of {what} lost"
    low, high = (None if bound is None else -bound for bound in (drop.high, drop.low))
    return f"{Quantity(-drop.value, drop.unit, low, high)} of {what} gained"


def _figures(
    found: Measurements, program: MeasuredProgram, marks: Mapping[str, list[str]]
) -> Iterator[KeyFigure]:
    """Yield quality once, and speed on every target, of many on the first few."""
    at = {m.target: m for m in found.measurements if m.program == program.name}
    real = [target.name for target in found.targets if not target.emulated and target.name in at]
    first = next(iter(at))
    quality = quality_of(m.quantities for m in found.measurements)
    alike = likeness_of(quality)
    if quality != alike:
        yield from _figure(found, at[first], quality, label(quality), [])
    yield from _figure(found, at[first], alike, f"{label(alike)} with {found.reference}", [])
    reference = next((p for p in found.programs if p.name == found.reference), None)
    yield KeyFigure(
        label="Size",
        measured=size_of(program),
        reference=size_of(reference) if reference else None,
        marks=[],
    )
    for target in real[:MOST_TARGETS]:
        care = marks.get(target, []) + ([] if at[target].valid else ["invalid"])
        on = f" on {target}" if len(real) > 1 else ""
        latency = _latencies(found.gates)[0]
        yield from _figure(found, at[target], latency, label(latency) + on, care)
        for name in () if found.examples else START:
            yield from _figure(found, at[target], name, label(name) + on, care)
        title = f"Speed against {found.reference}{on}"
        yield from _figure(found, at[target], "speedup", title, care)


def _figure(
    found: Measurements, measurement: Measurement, name: str, title: str, marks: list[str]
) -> Iterator[KeyFigure]:
    if name in measurement.quantities:
        beside = _quantities(found, found.reference, measurement.target).get(name)
        compares = name in (
            *map(likeness_of, SHOWN),
            "speedup",
        )  # the reference with itself says nothing
        yield KeyFigure(
            label=title,
            measured=measurement.quantities[name],
            reference=None if compares else beside,
            marks=marks,
        )


def _quantities(found: Measurements, program: str, target: str) -> Mapping[str, Quantity]:
    for measurement in found.measurements:
        if (measurement.program, measurement.target) == (program, target):
            return measurement.quantities
    return {}


def _latencies(gates: Sequence[Gate]) -> list[str]:
    """Return latencies in the order of interest: what the contract names, p90, p50."""
    named = [gate.name for gate in gates if gate.name.startswith("latency_p")]
    return list(dict.fromkeys([*named, "latency_p90_ms", "latency_p50_ms"]))
