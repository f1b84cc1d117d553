"""Latency per target: distribution, percentiles, start and memory."""

from collections.abc import Iterator

from edgekd.core.quantity import significant
from edgekd.core.results import NOT_VALID
from edgekd.report.schema.check import Check, Machine
from edgekd.report.schema.report import Report
from edgekd.report.schema.timing import Energy
from edgekd.report.sections.conditions import noted
from edgekd.report.sections.parts import Figure, Part, Section, moment, titled
from edgekd.report.tables import (
    Cell,
    Table,
    care_of,
    happened,
    machine_of,
    marks_of,
    number_cell,
    program_cell,
    row_of,
    spread_cell,
)
from edgekd.report.timing import SHARES
from edgekd.report.words import ENERGY, listed


def latency(report: Report) -> Section:
    """Return a figure and two tables per target; the axis is the same for all of them."""
    return Section("latency", "Latency", parts=list(_parts(report)))


def _parts(report: Report) -> Iterator[Part]:
    for check, machine, title in titled(report):
        part = Part(title, lines=[_when(machine), *_preparing(check)])
        timed = [row for row in check.rows if row.target == machine.name and row.timing.ecdf]
        if timed:
            part.figures.append(_figure(check, machine))
            part.tables.append(latency_table(check, machine.name))
        else:
            part.lines.append("No latency was measured here.")
        part.lines.extend(
            f"{row.program} could not be measured: it {happened(row)}."
            for row in check.rows
            if row.target == machine.name and row.failure
        )
        if any(row.timing.start for row in timed):
            part.lines.extend(_energy(check, machine))
            part.tables.append(start_table(check, machine.name))
        yield part


def _preparing(check: Check) -> Iterator[str]:
    """Yield how long an example takes before it goes into any program."""
    if one := check.preparing:
        low, middle, high = map(significant, (one.lowest_ms, one.median_ms, one.highest_ms))
        yield (
            f"Making an example ready took {middle} ms ({low} to {high}, {one.examples} examples) "
            "on the machine that drove this, in Python: no latency here holds it, and on a device "
            "it is the work of the app."
        )


def _energy(check: Check, machine: Machine) -> Iterator[str]:
    """Yield where figures of energy come from, where there are any."""
    origins = {found.origin for found in _energies(check, machine.name)}
    if "meter" in origins:
        yield (
            "Energy a run is what the processor's own counters say of whole packages while the "
            "program ran: with idle cores, and with all else that ran there."
        )
    if "estimate" in origins:
        yield (
            "Energy a run is an estimate, not measured: processor time times the "
            f"{machine.watts_per_core:g} W a core that the target's file states."
        )


def _energies(check: Check, target: str) -> list[Energy]:
    """Return what is known of the energy of programs on a target."""
    starts = (row.timing.start for row in check.rows if row.target == target)
    return [start.energy for start in starts if start and start.energy]


def _figure(check: Check, machine: Machine) -> Figure:
    def draw(name: str, width: int) -> str:
        from edgekd.report.charts.latency import latency as chart

        return chart(check, machine.name, name, width)

    caption = (
        "Share of runs that took at most so long, one row per program. The filled mark is p50, "
        "the hollow one p90; a steep curve is a steady program, a long flat top its slow runs. "
        " Dashed: what the gates allow."
    )
    return Figure(draw, caption, [distribution_table(check, machine.name)])


def _when(machine: Machine) -> str:
    """Return when and where the latencies were taken, and what must be known of them."""
    said = f"Measured {moment(machine.measured_at)} on {machine.name}."
    if len(machine.sittings) > 1:
        began = listed([moment(time) for time in machine.sittings])
        said += f" The samples were taken in {len(machine.sittings)} sittings, begun {began}."
    if machine.emulated:
        said += " It is emulated: that proves packaging and numerics, and no latency."
    others = [mark for mark in machine.marks if mark != "emulated"]
    return said + (f" These latencies were {listed(others)}." if others else "")


def latency_table(check: Check, target: str) -> Table:
    """Return percentiles with intervals, and the ratio to the reference where interleaved.

    What is not valid bears a mark; why stands once, below.
    """
    compared = ("speedup",) if check.reference else ()
    percentiles = ("latency_p50_ms", "latency_p90_ms", "latency_p95_ms", "latency_p99_ms")
    names = (*percentiles, "latency_p90_estimate_ms", *compared)
    here = [row for row in check.rows if row.target == target]
    rows = [
        row_of(
            program_cell(check, row.program, target),
            *(number_cell(row.quantities, name, care_of(check, row)) for name in names),
        )
        for row in here
    ]
    notes = [
        f"Invalid latencies{f' of {programs}' if programs else ''}: {note.removeprefix(NOT_VALID)}."
        for programs, note in noted(here)
        if note.startswith(NOT_VALID)
    ]
    head = ["Program", "p50", "p90", "p95", "p99", "p90 by LoadGen's rule"]
    head += [f"Speed-up on {check.reference}"] if compared else []
    return Table(f"Latency on {target}, ms", head, rows, notes=notes)


def distribution_table(check: Check, target: str) -> Table:
    """Return the latencies that given shares of the runs did not exceed."""
    rows = [
        row_of(
            program_cell(check, row.program, target),
            *(
                significant(next(x for x, up_to in row.timing.ecdf if up_to >= share))
                for share in SHARES
            ),
        )
        for row in check.rows
        if row.target == target and row.timing.ecdf
    ]
    head = ("Program", *(f"{100 * share:g} %" for share in SHARES))
    return Table(f"Distribution on {target}, ms", head, rows)


def start_table(check: Check, target: str) -> Table:
    """Return load, first and steady times and memory: middle and ends over the restarts."""
    rows = []
    mark = marks_of(machine_of(check, target))
    with_energy = bool(_energies(check, target))
    for row in check.rows:
        start = row.timing.start
        if row.target == target and start:
            steady = row.quantities.get("latency_p50_ms")
            settled = "settled" if start.settled else "not all settled"
            rows.append(
                row_of(
                    program_cell(check, row.program, target),
                    spread_cell(start.load_ms, mark=mark),
                    spread_cell(start.first_ms, mark=mark),
                    Cell(
                        significant(steady.value) if steady else "not measured",
                        None,
                        care_of(check, row),
                    ),
                    spread_cell(start.cpu_ms_per_run, mark=mark),
                    *([_energy_cell(start.energy)] if with_energy else []),
                    spread_cell(start.peak_rss_mib),
                    spread_cell(start.pss_mib) if start.pss_mib else Cell("—"),
                    Cell(f"{row.timing.samples:,} in {start.restarts}", None, settled),
                    spread_cell(start.load_average),
                    spread_cell(start.drift, factor=100),
                )
            )
    head = ["Program", "Load, ms", "First run, ms", "Steady p50, ms", "CPU time a run, ms"]
    head += ["Energy a run, mJ"] if with_energy else []
    head += ["Peak memory, MiB", "PSS, MiB", "Runs in processes", "Load average", "Drift, %"]
    return Table(f"Start and memory on {target}", head, rows)


def _energy_cell(found: Energy | None) -> Cell:
    return spread_cell(found.mj_per_run, mark=ENERGY[found.origin]) if found else Cell("—")
