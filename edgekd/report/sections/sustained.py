"""Latency over minutes, against temperature and frequency where they can be read."""

from collections.abc import Iterator, Sequence

from edgekd.core.quantity import significant
from edgekd.core.results import Window
from edgekd.report.schema.check import Check
from edgekd.report.schema.load import LongRun
from edgekd.report.schema.report import Report
from edgekd.report.sections.parts import Figure, Part, Section, titled
from edgekd.report.tables import Table, row_of
from edgekd.report.words import listed

MOST_ROWS = 24


def sustained(report: Report) -> Section | None:
    """Return the section, or None where nothing ran for long."""
    parts = [
        part for check, machine, title in titled(report)
        for part in _parts(check, machine.name, title)
    ]  # fmt: skip
    return Section("sustained", "Sustained load", parts) if parts else None


def _parts(check: Check, target: str, title: str) -> Iterator[Part]:
    for run in check.long_runs:
        if run.target == target:
            head = f"{run.program} on {title}" if title else run.program
            yield Part(title=head, lines=[outcome(run), unread(run)], figures=[_figure(run)])


def outcome(run: LongRun) -> str:
    """Return what became of the p90, and when the device slowed itself."""
    change = run.p90_last_ms / run.p90_first_ms - 1
    said = (
        f"p90 {significant(run.p90_first_ms)} ms in the first tenth of "
        f"{run.windows[-1].at_s:.0f} s, {significant(run.p90_last_ms)} ms in the last: "
        f"{change:+z.0%}."
    )
    if run.throttled_after_s is not None:
        said += f" The device slowed itself after {run.throttled_after_s:.0f} s, by {run.seen_by}."
    if run.slower_after_s is not None:
        said += f" From {run.slower_after_s:.0f} s on runs were slower by a tenth or more."
    return said


def unread(run: LongRun) -> str:
    """Return what of the device could not be read, and what follows."""
    missing = [name for name in ("temperature", "frequency") if name not in run.readable]
    if not missing:
        return "One program alone, without a pause; every window has 64 runs or more."
    return (
        f"The device does not tell its {listed(missing)}: runs may become slower for another "
        "reason than heat, as for others beside them."
    )


def _figure(run: LongRun) -> Figure:
    def draw(name: str, width: int) -> str:
        from edgekd.report.charts.sustained import sustained as chart

        return chart(run, name, width)

    caption = (
        "p90 over time, thin p50; below it what could be read of the device. Dashed: where it "
        "slowed itself."
    )
    return Figure(draw, caption, [windows_table(run)])


def windows_table(run: LongRun) -> Table:
    """Return windows evenly over the time, the first and the last among them."""
    rows = [
        row_of(
            f"{window.at_s:.0f}",
            f"{window.runs:,}",
            significant(window.p50_ms),
            significant(window.p90_ms),
            f"{window.cpu_share:.2f}",
            _read(window.temperature_c),
            _read(window.frequency_mhz),
            f"{window.throttled}",
        )
        for window in _thinned(run.windows)
    ]
    head = ["Until, s", "Runs", "p50, ms", "p90, ms", "Processor time a second", "Temperature, C"]
    head += ["Frequency, MHz", "Slowed for heat so far"]
    return Table(f"{run.program} on {run.target} under sustained load", head, rows, ())


def _thinned(windows: Sequence[Window]) -> list[Window]:
    count = min(MOST_ROWS, len(windows))
    return [windows[round(i * (len(windows) - 1) / max(1, count - 1))] for i in range(count)]


def _read(value: float | None) -> str:
    return "—" if value is None else f"{value:.0f}"
