"""The warm process that resolves pipelines and runs torch stages, one after another.

It reads one JSON request per line and answers with JSON lines: progress, then one `done`,
`refused` (the user can mend it) or `crashed`. What libraries print goes to the run's log.
"""

import gc
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Any

from edgekd.core.errors import EdgekdError, RequestError, RunInterruptedError, StageError
from edgekd.core.launcher import PEER
from edgekd.core.lifetime import cpu_seconds, end_with_parent
from edgekd.core.protocols.values import Facts
from edgekd.core.quantity import Quantity
from edgekd.core.trouble import named_trouble
from edgekd.pipeline.machine import this_machine
from edgekd.pipeline.resolve import resolve
from edgekd.pipeline.resolved import Request
from edgekd.pipeline.room import check_room
from edgekd.pipeline.stage_run import Say, StageRun, Workroom, do_stage, stage_run

if TYPE_CHECKING:
    from edgekd.parallel.crew import Crew

INTERRUPTED = RunInterruptedError.exit_code
OBJECTS_BETWEEN_COLLECTIONS = 10_000
"""Of Python's garbage collector, whose 700 have it look at all of torch again and again while
modules are imported and models are traced."""


@dataclass
class Stopping:
    """The wish that the run shall end: SIGINT or SIGTERM, from the parent or from the system."""

    parent: int
    signals: set[int] = field(default_factory=set)
    """Those that came; a service manager may send one to every process, so two can be one wish."""
    patient: bool = False
    """Whether a stage runs that asks by itself and ends after its step; all else is interrupted."""

    @property
    def asked(self) -> bool:
        """Whether the run shall end."""
        return bool(self.signals)

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """Note the wish; leave at once where it is repeated or where the parent is gone."""
        if number in self.signals or os.getppid() != self.parent:
            raise SystemExit(INTERRUPTED)
        first, self.signals = not self.signals, self.signals | {number}
        if first and not self.patient:
            raise KeyboardInterrupt


def main() -> None:
    """Serve requests until there are no more, or until a signal comes between two of them."""
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    try:
        _serve()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _serve() -> None:
    stopping = Stopping(os.getppid())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stopping)
    end_with_parent(signal.SIGTERM)
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what anything prints from here on goes to the log, not between the answers
    say, desk = partial(_say, channel), _Desk(stopping)
    for line in sys.stdin:
        request = json.loads(line)
        stopping.patient = False
        try:
            with named_trouble():
                answer = desk.answer(request, say)
            say({"answer": "done"} | answer)
        except KeyboardInterrupt:
            say({"answer": "refused"} | _described(RunInterruptedError("")))
        except EdgekdError as error:
            say({"answer": "refused"} | _described(error))
        except Exception as error:  # any fault of a plug-in ends its stage, not the worker
            with suppress(OSError):  # the disk of the log may be full
                traceback.print_exc()
            say({"answer": "crashed", "message": f"{type(error).__name__}: {error}"})
    desk.close()


def plain(facts: Facts) -> dict[str, Any]:
    """Return a stage's facts as JSON values."""
    return {k: v.as_dict() if isinstance(v, Quantity) else v for k, v in facts.items()}


@dataclass
class _Desk:
    """Where requests are answered, one after another."""

    stopping: Stopping
    room: Workroom = field(default_factory=Workroom)

    @cached_property
    def crew(self) -> "Crew":
        """The other processes of the run; they are called for when a stage needs them."""
        from edgekd.parallel.crew import Crew

        return Crew(PEER)

    def answer(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        """Return what was asked for."""
        if request["do"] == "resolve":
            resolved = resolve(Request(**request["request"]))
            beside = str(Path(resolved.request.file).parent)
            self.room.plugins |= {(reference, beside) for reference in resolved.plugins}
            return {"resolved": resolved.as_dict()}
        if request["do"] == "dismiss":
            self.crew.dismiss()
            return {}
        from edgekd.train.device import free_bytes, use_threads

        self.room.load(request)
        run = stage_run(request, Path(request["out"]), self.stopping, say, self.room)
        use_threads(request["threads"])
        notice = check_room(request["needs"], run.out, free_bytes(run.device))
        if notice:
            run.notice(notice)
        started, started_cpu = time.monotonic(), cpu_seconds()
        self.stopping.patient = request["stops"]
        facts, others_s = self._do(request, run)
        self.stopping.patient = False
        return {
            "facts": plain(facts) | ({"notices": run.notices} if run.notices else {}),
            "seconds": time.monotonic() - started,
            "cpu_seconds": cpu_seconds() - started_cpu + others_s,
            "host": this_machine(),
        }

    def close(self) -> None:
        """End what was started for the stages."""
        if "crew" in vars(self):
            self.crew.close()

    def _do(self, request: Mapping[str, Any], run: StageRun) -> tuple[Facts, float]:
        """Return what a stage found out, and the CPU seconds of other processes."""
        if request["processes"] == 1:
            return do_stage(request, run), 0.0
        with self.crew.at_work(request, request["processes"]):
            facts = do_stage(request, run)
        return facts, self.crew.cpu_seconds


def _described(error: EdgekdError) -> dict[str, Any]:
    if isinstance(error, RequestError):
        return {"error": "RequestError", "problems": [asdict(p) for p in error.problems]}
    if isinstance(error, StageError):
        return {"error": "StageError", "message": error.message, "next_step": error.next_step}
    return {"error": type(error).__name__, "message": str(error)}


def _say(channel: IO[str], message: Mapping[str, Any]) -> None:
    channel.write(json.dumps(dict(message), allow_nan=False) + "\n")
    channel.flush()


if __name__ == "__main__":
    main()
