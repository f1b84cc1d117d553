"""The parent's side of the worker: start it when it is first needed, ask, end it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from edgekd.core import errors
from edgekd.core.errors import (
    EdgekdError,
    Problem,
    RequestError,
    RunInterruptedError,
    StageError,
)
from edgekd.pipeline.process import CUSTOMS, Process
from edgekd.pipeline.resolved import Request, Resolved

SECONDS_TO_END = 2


class Workshop:
    """Holds one worker process, or none until something is asked.

    `on_stop` is called when the run is asked to end, with whether the stage ends after its step.
    """

    def __init__(self, log: Path, on_stop: Callable[[bool], None] = lambda _: None):
        self.log, self.on_stop = log, on_stop
        self.stopping = False
        """Whether the run was asked to end."""
        self._process: Process | None = None

    def __enter__(self) -> "Workshop":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the worker and everything that it started."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()
        try:
            _end(process)
        except BaseException:  # a second Ctrl-C: end it now, then go on with the first
            process.kill()
            process.wait()
            raise

    def stop(self) -> None:
        """Ask the worker, from another thread than the one that asked it for something, to end."""
        self.stopping = True
        if (process := self._process) is not None:
            process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End the worker now."""
        self.stopping = True
        if (process := self._process) is not None:
            process.kill()

    def resolve(self, request: Request) -> Resolved:
        """Return the pipeline of a file; RequestError holds its problems."""
        answer = self.ask({"do": "resolve", "request": asdict(request)}, lambda _: None)
        return Resolved.from_dict(answer["resolved"])

    def ask(
        self, request: dict[str, Any], hear: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any]:
        """Return the worker's answer; EdgekdError where it refuses, crashes or dies.

        An interruption is handed on to the worker, whose answer is waited for: it ends after the
        step that is under way. A second one is raised at once.
        """
        if self.stopping:
            raise RunInterruptedError("")
        process = self.start()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise self._death(process) from None
        try:
            answer = self._answer(process, hear)
        except (KeyboardInterrupt, RunInterruptedError):
            if self.stopping:
                raise
            self.stopping = True
            process.send_signal(signal.SIGINT)
            self.on_stop(bool(request.get("stops")))
            answer = self._answer(process, hear)
        if answer is None:
            raise self._death(process)
        if answer["answer"] != "done":
            raise self._error(answer)
        return answer

    def _answer(
        self, process: Process, hear: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any] | None:
        """Return the worker's last word on a request; None where it ended without one."""
        assert process.stdout is not None
        for line in process.stdout:
            try:
                answer: dict[str, Any] = json.loads(line)
            except ValueError:  # the rest of a line that an interruption cut
                continue
            if answer["answer"] not in ("progress", "epoch", "notice"):
                return answer
            hear(answer)
        return None

    def _death(self, process: Process) -> EdgekdError:
        """Return the error of a worker that ended without an answer."""
        status = process.wait()
        self.close()
        if self.stopping or status == RunInterruptedError.exit_code:
            return RunInterruptedError("")
        return StageError(
            f"the worker process ended with status {status}.",
            f"Its output is in {self.log}. Status -9 is often the system's out-of-memory killer: "
            "then lower train.batch_size, or take a smaller model.",
        )

    def start(self) -> Process:
        """Return the worker process, started if need be."""
        if self._process is None:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    # -P: nothing is imported from the folder that the user happens to be in
                    [sys.executable, "-P", "-m", "edgekd.pipeline.worker"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    encoding="utf-8",
                    env=CUSTOMS | os.environ | {"PYTHONUNBUFFERED": "1"},
                    start_new_session=True,  # Ctrl-C reaches the parent alone, which ends us
                )
        return self._process

    def _error(self, answer: dict[str, Any]) -> EdgekdError:
        if answer["answer"] == "crashed":
            return StageError(f"{answer['message']}.", f"The whole traceback is in {self.log}.")
        if answer["error"] == "RequestError":
            return RequestError(Problem(**problem) for problem in answer["problems"])
        if answer["error"] == "StageError":
            return StageError(answer["message"], answer["next_step"])
        kind: type[EdgekdError] = getattr(errors, answer["error"])
        return kind(answer["message"])


def _end(process: Process) -> None:
    """Let a process end by itself, then ask it to, then end it."""
    for wait, urge in ((0.2, signal.SIGINT), (SECONDS_TO_END, signal.SIGKILL)):
        try:
            process.wait(wait)
        except subprocess.TimeoutExpired:
            process.send_signal(urge)
        else:
            return
    process.wait()
