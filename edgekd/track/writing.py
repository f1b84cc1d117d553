"""A thread per tracker, so that a run waits for no disk and no server."""

import queue
import re
from collections.abc import Callable
from threading import Thread
from typing import TypeAlias

from edgekd.track.tracker import Tracker

Call: TypeAlias = Callable[[Tracker], None]
MOST_WAITING = 20_000
"""Calls that wait for a tracker; a few hours of a training that a server does not answer."""
LONGEST_REASON = 300


class Writing:
    """Hands calls to a tracker in their order; the first that fails is the last."""

    def __init__(self, name: str, make: Callable[[], Tracker]):
        self.name, self._make = name, make
        self._calls: queue.Queue[Call | None] = queue.Queue(MOST_WAITING)
        self._failures: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._over = False
        self._thread = Thread(target=self._work, name=f"track {name}", daemon=True)
        self._thread.start()

    def tell(self, call: Call) -> None:
        """Have a call made, soon."""
        self._put(call)

    def give_up(self, error: Exception) -> None:
        """Write nothing more, because of an error."""
        self._fail(_reason(error))

    def failure(self) -> str | None:
        """Return why nothing more is written; once."""
        try:
            return self._failures.get_nowait()
        except queue.Empty:
            return None

    def finish(self, within_s: float) -> None:
        """Wait until all is written, but no longer than `within_s` seconds."""
        self._put(None)
        if not self._over:
            self._thread.join(within_s)
        if self._thread.is_alive():
            self._fail(f"it did not take everything within {within_s:g} s")

    def _put(self, call: Call | None) -> None:
        if self._over:
            return
        try:
            self._calls.put_nowait(call)
        except queue.Full:
            self._fail(f"it does not answer: {MOST_WAITING:,} messages wait")

    def _work(self) -> None:
        try:
            tracker = self._make()
            while not self._over and (call := self._calls.get()) is not None:
                call(tracker)
        except Exception as error:  # whatever a tracker's library raises, the run goes on
            self.give_up(error)

    def _fail(self, reason: str) -> None:
        """Note the first failure."""
        over, self._over = self._over, True
        if not over:
            self._failures.put(reason)


def _reason(error: Exception) -> str:
    """Return an error in a line, without the credentials that an address may hold."""
    lines = str(error).splitlines()
    text = re.sub(r"//[^/@\s]+@", "//", lines[0] if lines else "")
    return f"{type(error).__name__}: {text[:LONGEST_REASON]}"
