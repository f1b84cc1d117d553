"""A workshop whose worker process runs on a node of a Ray cluster."""

import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from edgekd.core.errors import RunInterruptedError, StageError
from edgekd.pipeline.cluster import Cluster, cluster
from edgekd.pipeline.outpost import Outpost, sizes_in
from edgekd.pipeline.plan import Plan
from edgekd.pipeline.process import CUSTOMS, Process
from edgekd.pipeline.store import Store
from edgekd.pipeline.workshop import Workshop

METHODS_AT_ONCE = 8
"""Of an actor: one waits for lines while others pass on requests and signals."""
SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_UNTIL_TOLD = 10
SECONDS_TO_APPEAR = 120
"""Until a file that a node wrote is seen here: shared file systems may show it late."""


class NodeLostError(Exception):
    """The node, or the actor on it, is gone."""


class RayWorkshop(Workshop):
    """Asks a worker on a node of the cluster; where that node is lost, once more on another."""

    def __init__(self, log: Path, cluster: Cluster):
        super().__init__(log)
        self.cluster = cluster
        self._remote: _RemoteProcess | None = None

    def start(self) -> Process:
        """Return the worker process; a node is looked for, but not waited for."""
        if self._process is None or self._remote is None:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            self._process = self._remote = _RemoteProcess(self.cluster, self.log)
        return self._process

    def ask(
        self, request: dict[str, Any], hear: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any]:
        """Return the worker's answer; StageError also where its node is lost twice.

        The second worker goes on from what the first wrote down.
        """
        try:
            return self._ask(request, hear)
        except NodeLostError as error:
            self._give_up()
            _tell(hear, f"its node was lost ({error}); it is tried again on another.")
        _empty(Path(request["out"]))
        try:
            return self._ask(request, hear)
        except NodeLostError as error:
            self._give_up()
            raise StageError(
                f"the node that it ran on was lost, twice: {error}",
                "Run again: it goes on from what it wrote down.",
            ) from None

    def close(self) -> None:
        """End the worker and give back its share of the node."""
        remote, self._remote = self._remote, None
        if remote is not None and not remote.settled:
            remote.kill()  # nobody would answer
        try:
            super().close()
        finally:
            if remote is not None:
                remote.kill()

    def _ask(
        self, request: dict[str, Any], hear: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any]:
        if self.stopping:
            raise RunInterruptedError("")
        self.start()
        remote = self._remote
        assert remote is not None
        remote.settle(hear, lambda: self.stopping)
        answer = super().ask(request, hear)
        remote.show(Path(request["out"]))
        return answer

    def _give_up(self) -> None:
        """Forget a worker that is lost; RunInterruptedError where the run is to end anyway."""
        self.close()
        if self.stopping:
            raise RunInterruptedError("") from None


@contextmanager
def on_cluster(
    address: str, plan: Plan, store: Store, log: Path, count: int
) -> Iterator[list[Workshop]]:
    """Connect to a cluster and yield so many workshops, none of which has a node yet."""
    with cluster(address, plan, store) as found, ExitStack() as open_ones:
        logs = [log.with_suffix(f".{number}.log") for number in range(1, count + 1)]
        yield [open_ones.enter_context(RayWorkshop(log, found)) for log in logs]


class _RemoteProcess:
    """An actor's worker process, as if it were one of this machine."""

    def __init__(self, cluster: Cluster, log: Path):
        import ray

        actor = ray.remote(Outpost).options(
            **cluster.share,
            max_restarts=0,
            max_concurrency=METHODS_AT_ONCE,
            scheduling_strategy="SPREAD",
        )
        self._ray, self._cluster, self._node = ray, cluster, ""
        self._actor = actor.remote(str(log), str(Path.cwd()), CUSTOMS)
        self.stdin, self.stdout = _Input(self), _Output(self)

    @property
    def settled(self) -> bool:
        """Whether it has a node."""
        return bool(self._node)

    def settle(self, hear: Callable[[dict[str, Any]], None], stopping: Callable[[], bool]) -> None:
        """Wait until the worker has a node; StageError where that node is not fit."""
        if self._node:
            return
        began, told, place = time.monotonic(), False, self._actor.place.remote()
        while not self._ray.wait([place], timeout=SECONDS_BETWEEN_LOOKS)[0]:
            if stopping():
                raise NodeLostError("none was found")
            if not told and time.monotonic() - began > SECONDS_UNTIL_TOLD:
                told = True
                _tell(hear, f"it waits for a node with {self._cluster.share_in_words} free.")
        node, name = self._got(place)
        if node not in self._cluster.proven:  # it joined after the run began
            strange = self._cluster.strange(self.call("examine", self._cluster.asked))
            if strange:
                raise StageError(strange[0].message, strange[0].next_step)
            self._cluster.proven.add(node)
        self._node = name

    def show(self, folder: Path) -> None:
        """Wait until this machine sees all that the node wrote; StageError where it does not."""
        there, end = self.call("sizes", str(folder)), time.monotonic() + SECONDS_TO_APPEAR
        while (here := sizes_in(str(folder))) != there:
            if time.monotonic() > end:
                names = ", ".join(sorted(name for name in there if here.get(name) != there[name]))
                message = f"what node {self._node} wrote is not seen here: {names}."
                raise StageError(message, "Is the store on a file system that all nodes share?")
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def call(self, method: str, *values: object) -> Any:
        """Return what a method of the actor returns; NodeLostError where there is none."""
        return self._got(getattr(self._actor, method).remote(*values))

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status, as of a killed one where the node is lost."""
        try:
            status: int | None = self.call("wait", timeout)
        except NodeLostError:
            return -signal.SIGKILL
        if status is None:
            raise subprocess.TimeoutExpired("worker", timeout or 0)
        return status

    def send_signal(self, sig: int) -> None:
        """Send the worker a signal; one that has no node yet is given up."""
        if self._node:
            self._actor.send_signal.remote(sig)
        else:
            self.kill()

    def kill(self) -> None:
        """End the actor now, and with it the worker."""
        self._ray.kill(self._actor)

    def _got(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            where = f"{self._node}: " if self._node else ""
            raise NodeLostError(f"{where}{type(error).__name__}") from error


class _Input:
    """Passes on whole requests."""

    def __init__(self, process: _RemoteProcess):
        self._process, self._text = process, ""

    def write(self, text: str, /) -> object:
        """Take a part of a request."""
        self._text += text
        return None

    def flush(self) -> None:
        """Pass on what was taken; BrokenPipeError where the worker has ended."""
        text, self._text = self._text, ""
        if not self._process.call("write", text):
            raise BrokenPipeError

    def close(self) -> None:
        """Say that there are no more."""
        with suppress(NodeLostError):
            self._process.call("close_input")


class _Output:
    """The lines that the worker writes."""

    def __init__(self, process: _RemoteProcess):
        self._process = process
        self._lines: deque[str] = deque()

    def __iter__(self) -> Iterator[str]:
        while self._lines or self._more():
            yield self._lines.popleft()

    def close(self) -> None:
        """Listen no more."""

    def _more(self) -> bool:
        self._lines.extend(self._process.call("read"))
        return bool(self._lines)


def _tell(hear: Callable[[dict[str, Any]], None], message: str) -> None:
    hear({"answer": "notice", "message": message})


def _empty(folder: Path) -> None:
    """Take away what a lost worker left half done."""
    shutil.rmtree(folder)
    folder.mkdir()
