"""`edgekd bench`: a model file measured on devices, as a table."""

import json
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer

from edgekd.bench.asked import Asked, check_choices
from edgekd.bench.run import Benchmark, bench
from edgekd.cli.printable import aligned, printable
from edgekd.cli.runs import check_format, check_place, show_report
from edgekd.core.quantity import Quantity, significant
from edgekd.devices.turn import WAITING
from edgekd.pipeline.records import RunFolders
from edgekd.report.outcome import compared
from edgekd.report.schema.check import Check, Machine, Row
from edgekd.report.schema.operators import OperatorTimes
from edgekd.report.schema.timing import Energy, Spread
from edgekd.report.sections.conditions import conditions
from edgekd.report.sections.operators import named
from edgekd.report.sections.sustained import outcome
from edgekd.report.sections.throughput import best
from edgekd.report.tables import row_at
from edgekd.report.words import ENERGY, SIGNS, label, limit_text, sentence_of

PERCENTILES = (50, 90, 95, 99)
WIDTH = 80
"""Of the lines about a machine; how long its processor's name is, nobody knows."""
MOST_OPERATORS = 4


def bench_model(asked: Asked, out: Path | None, runs: Path, as_json: bool) -> int:
    """Measure, print what was found and leave the report; return the exit code."""
    check_choices(asked)
    if out is not None:
        check_format(out)
        check_place(out)
    progress = _silent if as_json else _counted if sys.stderr.isatty() else _waiting
    found = bench(asked, RunFolders(runs), progress)
    if as_json:
        about = {"folder": str(found.folder), "exit_code": found.exit_code}
        typer.echo(json.dumps(about | {"report": found.report.model_dump(mode="json")}))
    else:
        for line in _lines(found):
            typer.echo(printable(line))
    if out is not None:
        show_report(str(found.folder), out, runs, quiet=as_json)
    return found.exit_code


def _silent(_done: int, _of: int, _what: str) -> None:
    pass


def _waiting(_done: int, _of: int, what: str) -> None:
    """Tell only for whom this waits: without a terminal nobody looks on."""
    if f": {WAITING}, " in what:
        typer.echo(f"  {what}", err=True)


def _counted(done: int, of: int, what: str) -> None:
    typer.echo(f"\r\x1b[K  {what}: {done + 1} of {of}", err=True, nl=False)
    if done + 1 == of:
        typer.echo("\r\x1b[K", err=True, nl=False)


def _lines(found: Benchmark) -> Iterator[str]:
    (check,) = found.report.checks
    for machine in check.machines:
        yield from _on(check, machine)
        yield ""
    yield from (_operators(one) for one in check.operators)
    yield from (f"rate   {one.program} on {one.target}: {best(one)}" for one in check.throughput)
    yield from (f"long   {run.program} on {run.target}: {outcome(run)}" for run in check.long_runs)
    yield from (f"input  {each.program}: {each.name} {each.dtype} {each.shape}, {each.origin}"
                for each in check.inputs)  # fmt: skip
    yield from (f"mind   {note}" for note in conditions(check))
    yield from (f"lost   {one.stage}: {one.why}" for one in found.report.failed)
    for row in check.rows:
        if row.failure:
            yield f"{SIGNS['fail']} {row.program} on {row.target} {sentence_of(row.failure)}"
            yield from _hint(row.failure, check)
    for gate in check.gates:
        measured = str(gate.measured) if gate.measured else "not measured"
        yield (
            f"{SIGNS[gate.verdict]} {gate.verdict}  {gate.program} on {gate.target}: "
            f"{label(gate.name)} {measured}, limit {limit_text(gate)}; {gate.reason}"
        )
    yield from _comparisons(check) if check.gates else ()
    yield found.report.headline.words + "."
    yield f"report {found.folder / 'report.html'}"


def _operators(one: OperatorTimes) -> str:
    """Return which operators take most of the time."""
    shares = [f"{named(each)} {each.share:.0%}" for each in one.by_operator[:MOST_OPERATORS]]
    return f"time   {one.program} on {one.target}: {', '.join(shares)}"


def _comparisons(check: Check) -> Iterator[str]:
    """Yield which model is faster, where the headline speaks of the gates."""
    for machine in check.machines if check.reference else ():
        other = row_at(check, check.reference, machine.name)
        for row in check.rows:
            if other and row.target == machine.name and row.program != check.reference:
                yield f"{compared(row, other)} on {machine.name}."


def _hint(failure: str, check: Check) -> Iterator[str]:
    """Yield what to try where a model does not take what was made for it."""
    made = any(each.origin.startswith("made") for each in check.inputs)
    if made and "in its first run" in failure.partition("\n")[0]:
        yield "  Its inputs were made here: --shape, --values or --data say what it expects."


def _on(check: Check, machine: Machine) -> Iterator[str]:
    """Yield what one target is, and a column per program."""
    about = machine.facts
    what = f"{machine.name}: {about.get('cpu', machine.description)}, {about.get('os', '')}"
    yield from textwrap.wrap(what, WIDTH, subsequent_indent="  ")
    runtimes = [f"{step.runtime} {about.get(step.runtime, '')}" for step in check.steps]
    shown = {"threads": about.get("threads"), "load": about.get("load_average")}
    shown |= {"governor": about.get("governor"), "temperature, C": about.get("temperature_c")}
    facts = [f"{name} {value}" for name, value in shown.items() if value]
    said = ", ".join([*dict.fromkeys(runtimes), *facts])
    yield from textwrap.wrap(said, WIDTH, subsequent_indent="  ")
    rows = [row for row in check.rows if row.target == machine.name]
    yield from aligned([["", *(row.program for row in rows)], *_cells(check, rows)])


def _cells(check: Check, rows: Sequence[Row]) -> Iterator[list[str]]:
    for percentile in PERCENTILES:
        name = f"latency_p{percentile}_ms"
        yield [f"p{percentile}, ms", *(_value(row.quantities.get(name)) for row in rows)]
    estimates = (row.quantities.get("latency_p90_estimate_ms") for row in rows)
    yield ["LoadGen's p90, ms", *map(_value, estimates)]
    starts = [row.timing.start for row in rows]
    yield ["runs", *(f"{row.timing.samples:,} in {s.restarts} processes" if s else "0"
                     for row, s in zip(rows, starts, strict=True))]  # fmt: skip
    yield ["load, ms", *(_spread(s.load_ms if s else None) for s in starts)]
    yield ["first run, ms", *(_spread(s.first_ms if s else None) for s in starts)]
    yield ["peak memory, MiB", *(_spread(s.peak_rss_mib if s else None) for s in starts)]
    yield ["PSS, MiB", *(_spread(s.pss_mib if s else None) for s in starts)]
    if any(s and s.energy for s in starts):
        yield ["energy a run, mJ", *(_energy(s.energy if s else None) for s in starts)]
    sizes = {step.program: step.size.value for step in check.steps}
    yield ["size, MiB", *(significant(sizes[row.program]) for row in rows)]
    if check.reference:
        yield ["speed-up", *(_value(row.quantities.get("speedup")) for row in rows)]
    yield ["valid", *("yes" if row.valid else "NO" for row in rows)]


def _value(found: Quantity | None) -> str:
    """Return a number and its interval without a unit; where runs were too few there is none."""
    return str(found).replace(f" {found.unit}", "", 1) if found else "-"


def _energy(found: Energy | None) -> str:
    return f"{_spread(found.mj_per_run)}, {ENERGY[found.origin]}" if found else "-"


def _spread(found: Spread | None) -> str:
    if found is None:
        return "-"
    low, middle, high = map(significant, (found.lowest, found.median, found.highest))
    return middle if low == high else f"{middle} ({low} to {high})"
