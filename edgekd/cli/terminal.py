"""A run as it happens: bars on a terminal, plain lines elsewhere, JSON lines on request."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from edgekd.cli.printable import brief
from edgekd.core.quantity import Quantity
from edgekd.core.version import VERSION
from edgekd.pipeline.events import (
    Event,
    Listener,
    RunDone,
    RunNotice,
    RunStarted,
    RunStopping,
    StageDone,
    StageFailed,
    StageKept,
    StageLeftOut,
    StageNotice,
    StageProgress,
    StageStarted,
    StageWaits,
)

SECONDS_BETWEEN_LINES = 10
FAILED = "failed"
VERDICT_COLOURS = {"pass": "green", "fail": "red", "inconclusive": "yellow"}


@contextmanager
def renderer(as_json: bool) -> Iterator[Listener]:
    """Yield a listener that shows events on standard output in the form that fits it."""
    if as_json:
        yield lambda event: print(event.line(), flush=True)  # noqa: T201
        return
    console = Console(  # what it prints is a path or another's words: shown as they are
        markup=False, emoji=False, highlight=False, soft_wrap=not sys.stdout.isatty()
    )
    with _bar(console) as progress:
        yield _Lines(console, progress)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("  ▸ {task.fields[stage]}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.description}", markup=False),
        TimeRemainingColumn(elapsed_when_finished=False),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


class _Lines:
    """One line per stage; a bar for the stage that runs."""

    def __init__(self, console: Console, progress: Progress):
        self.console, self.progress = console, progress
        self.width = 0
        self.printed = time.monotonic()
        self.tasks: dict[str, TaskID] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._begin(event)
            case StageStarted():
                self._start(event)
            case StageProgress():
                self._advance(event)
            case StageNotice() | StageWaits() | RunNotice() | RunStopping():
                self._say(event)
            case StageKept() | StageDone() | StageFailed() | StageLeftOut():
                self._end_stage(event)
            case RunDone():
                self._end(event)

    def _start(self, event: StageStarted) -> None:
        self.tasks[event.stage] = self.progress.add_task("", total=None, stage=event.stage)
        if not self.console.is_terminal:
            self.console.print(f"  > {event.stage}: {brief(event.reasons)}")

    def _begin(self, event: RunStarted) -> None:
        self.width = max(map(len, event.stages), default=0)
        self.console.print(
            f"edgekd {VERSION} · {event.name} · {event.device} · store {event.store}\n"
        )

    def _advance(self, event: StageProgress) -> None:
        if event.stage not in self.tasks:
            return
        if not self.console.is_terminal:
            self._plain_progress(event)
            return
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in _for_people(event))
        self.progress.update(
            self.tasks[event.stage],
            completed=event.done,
            total=event.total,
            description=f"{event.what} {event.done} of {event.total}  {numbers}",
        )

    def _plain_progress(self, event: StageProgress) -> None:
        """Print how far a long stage is, every now and then."""
        now = time.monotonic()
        if now - self.printed >= SECONDS_BETWEEN_LINES or event.what == "resumed":
            self.printed = now
            numbers = "".join(f", {name} {value:.4g}" for name, value in _for_people(event))
            self.console.print(
                f"    {event.stage}: {event.what} {event.done} of {event.total}{numbers}"
            )

    def _say(self, event: StageNotice | StageWaits | RunNotice | RunStopping) -> None:
        match event:
            case StageNotice():
                line = Text.assemble(("  ! ", "yellow"), f"{event.stage}: {event.message}")
                self.console.print(line)
            case RunNotice():
                self.console.print(Text.assemble(("  ! ", "yellow"), event.message))
            case StageWaits():
                self.console.print(f"  {event.stage}: is being made already; waiting")
            case RunStopping():
                when = "after this step, with its state" if event.after_step else "here"
                self.console.print(f"  Ending {when}; what is finished is kept. Again to end now.")

    def _end_stage(self, event: StageKept | StageDone | StageFailed | StageLeftOut) -> None:
        match event:
            case StageKept():
                self._line("✓", "green", event.stage, "kept", event.facts)
            case StageDone():
                self._line("✓", "green", event.stage, duration(event.seconds), event.facts)
            case StageFailed():
                self._line("✗", "red", event.stage, "failed", {})
            case StageLeftOut():
                self._line("-", "red", event.stage, "left out", {})

    def _line(
        self, sign: str, colour: str, stage: str, time: str, facts: Mapping[str, Any]
    ) -> None:
        if (task := self.tasks.pop(stage, None)) is not None:
            self.progress.remove_task(task)
            self.progress.refresh()
        line = Text.assemble(
            "  ", (sign, colour), f" {stage:<{self.width}} {time:>8}  {facts.get('says', '')}"
        )
        result = shown(facts.get("result"))
        result += " on validation" if "measure" in facts else ""  # gates alone see the test split
        room = self.console.width if self.console.is_terminal else 80
        gap = room - line.cell_len - len(result)
        if gap < 2 and self.console.is_terminal:  # the number keeps its place, a line below
            line.append("\n")
            gap = room - len(result)
        line.append(" " * max(2, gap) + result)
        self.console.print(line)

    def _end(self, event: RunDone) -> None:
        tables = [[*gate_lines(event.gates), _sentence(event)]] if event.gates else []
        tables += [[*comparison_lines(compared)] for compared in event.comparisons]
        for table in tables:
            self.console.print()
            for line in table:
                self.console.print(line)
        if event.failed:
            self.console.print("\nWithout a result:")
        for stage, why in event.failed.items():
            self.console.print(Text(f"  {stage}: {why}", style="red"))
        if not event.ran and not event.failed:
            self.console.print("\nNothing to do: every stage is kept.")
        self.console.print()
        if event.report:
            self.console.print(f"  report     {event.report}", soft_wrap=True)
        for path in event.artifacts:
            self.console.print(f"  artifact   {path}", soft_wrap=True)


def gate_lines(gates: Sequence[Mapping[str, Any]]) -> Iterator[Text]:
    """Yield the contract as aligned lines, one per gate, program and target."""
    rows = [
        (row["name"], row["program"], row["target"], row["limit"], _measured(row)) for row in gates
    ]
    head = ("contract", "program", "target", "limit", "measured")
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    yield Text(
        "  ".join(f"{h:<{w}}" for h, w in zip(head, widths, strict=True)) + "  verdict",
        style="bold",
    )
    for gate, row in zip(gates, rows, strict=True):
        cells = "  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True))
        yield Text.assemble(cells, "  ", (gate["verdict"], VERDICT_COLOURS[gate["verdict"]]))

    failed = (gate for gate in gates if _measured(gate) == FAILED)
    for line in dict.fromkeys(f"{g['program']} on {g['target']}: {g['reason']}" for g in failed):
        yield Text(f"  {line}", style="red")


def comparison_lines(compared: Mapping[str, Any]) -> Iterator[Text]:
    """Yield what was made from a stage as aligned lines, with what may be concluded."""
    from edgekd.report.schema.comparison import Comparison
    from edgekd.report.sections.comparison import brief_table, remarks

    one = Comparison.model_validate(compared)
    table = brief_table(one)
    rows = [[str(cell) for cell in row] for row in table.rows]
    widths = [max(map(len, column)) for column in zip(table.head, *rows, strict=True)]
    for number, row in enumerate([table.head, *rows]):
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        yield Text("  ".join(cells).rstrip(), style="bold" if number == 0 else "")
    yield from (Text(f"  {line}", style="dim") for line in remarks(one))


def _for_people(event: StageProgress) -> Iterator[tuple[str, float]]:
    """Yield the numbers that stand beside a bar; the others are for trackers."""
    return ((name, value) for name, value in event.numbers.items() if "/" not in name)


def _measured(gate: Mapping[str, Any]) -> str:
    """Return what a gate was judged by; without a number it fails where the program did."""
    text = shown(gate["measured"])
    return text or (FAILED if gate["verdict"] == "fail" else "")


def shown(value: Any) -> str:
    """Return a fact as people read it."""
    if isinstance(value, Mapping) and {"value", "unit"} <= set(value):
        return str(Quantity(**value))
    return "" if value is None else str(value)


def _sentence(event: RunDone) -> str:
    unproven = sum(row["verdict"] != "pass" for row in event.gates)
    if event.failed and not unproven:
        return "All gates kept by what was made."
    if event.exit_code != 0 and not unproven:
        return "All gates kept, but a program could not be measured."
    if event.exit_code != 0:
        return f"{unproven} of {len(event.gates)} gates not kept."
    allowed = f" {unproven} of {len(event.gates)} inconclusive, which the file allows."
    return f"No gate failed.{allowed}" if unproven else "All gates kept."


def duration(seconds: float) -> str:
    """Return a time as people read it."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m {rest:02}s" if minutes else f"{rest}s"
