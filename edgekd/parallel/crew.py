"""The other processes of a run, from the side of the first: found or started, and set to work.

Where a launcher such as `torchrun` has started this process it has started the others too, and
says in the environment where they meet; else this one starts them, on this machine. They share a
small store of texts: each stage's request is put there for all, and each one's word on how it
ended. While they work on a stage they are one process group, `parallel.group`.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from edgekd.core.errors import RunInterruptedError, StageError
from edgekd.core.launcher import LAUNCHED, launched

EVER = timedelta(days=3650)
ENOUGH = timedelta(seconds=10)
"""How long one that has failed waits for the others to fail too, before it takes it for its own."""
PATIENCE = timedelta(hours=2)
"""How long one waits for another that is still there."""
SECONDS_BETWEEN_LOOKS = 0.05
PREFIX = "edgekd"
"""Of all its keys: the store of a launcher holds others."""
HERE = "127.0.0.1"
LOOPBACK = "lo" if sys.platform == "linux" else "lo0"
TOO_MANY = (
    "Status -9 is often the system's out-of-memory killer: each process holds the data and the "
    "models. Take fewer processes, or lower train.batch_size."
)
AGAIN = "Start it again: what is done is kept."


@dataclass(frozen=True)
class Word:
    """What a process says when a stage is over for it."""

    cpu_seconds: float
    error: str = ""
    """What went wrong; nothing where all went well."""
    next_step: str = ""


class Crew:
    """The other processes of a run. `command` starts one of them, where no launcher has."""

    def __init__(self, command: Sequence[str]):
        self._command = command
        self._store: Store | None = None
        self._started: list[subprocess.Popen[bytes]] = []
        self._stages = 0
        self._lost = False
        self.cpu_seconds = 0.0
        """What the others spent on the latest stage."""

    @contextmanager
    def at_work(self, request: Mapping[str, Any], size: int) -> Iterator[None]:
        """Let `size` processes, this one among them, work on a stage.

        StageError where another ended, or failed in what only it does.
        """
        store = self._meet(size)
        stage, self._stages = self._stages, self._stages + 1
        store.set(_request(stage), json.dumps(dict(request)))
        self._await(store, stage, size)
        failure: Exception | None = None
        try:
            with joined(store, stage, 0, size, request["device"]), _ended_at_once():
                yield
        except Exception as error:
            failure = error
        store.set(_over(stage), "")
        if isinstance(failure, RunInterruptedError):  # what the others have done is on disk
            self._lose()
            raise failure
        until = time.monotonic() + ENOUGH.total_seconds()
        hurry = failure is not None
        words = {r: self._last_word(store, stage, r, until, hurry=hurry) for r in range(1, size)}
        self.cpu_seconds = sum(word.cpu_seconds for word in words.values() if word)
        self._judge(failure, words)

    def dismiss(self) -> None:
        """Let the processes of a launcher end: there is nothing more for them to do."""
        if not self._lost and launched():
            self._meet(0).set(_request(self._stages), "")

    def close(self) -> None:
        """End the processes that were started here."""
        for process in self._started:
            process.kill()
            process.wait()
        self._store, self._started = None, []

    def _judge(self, failure: Exception | None, words: Mapping[int, Word | None]) -> None:
        """Raise what went wrong first; where it went wrong for all alike, they can go on."""
        silent = [rank for rank, word in words.items() if word is None]
        told = {rank: word for rank, word in words.items() if word and word.error}
        if failure is None and not silent and not told:
            return
        own = failure is not None and not _is_consequence(str(failure))
        end = self._end_of(silent[0]) if silent else ""
        if not own or len(told) < len(words):
            self._lose()
        if own and failure:
            raise failure
        of = f"of {len(words) + 1}"
        for rank, word in told.items():
            if not _is_consequence(word.error):
                message = f"process {rank + 1} {of}: {word.error}"
                raise StageError(message, word.next_step) from failure
        if silent:
            raise StageError(f"process {silent[0] + 1} {of} ended{end}.", TOO_MANY) from failure
        raise StageError(f"the processes lost each other: {failure}.", AGAIN) from failure

    def _lose(self) -> None:
        """Do without the others: they are not in step with this process any more."""
        self.close()
        self._lost = launched()

    def _meet(self, size: int) -> Store:
        """Return the store of the run, where all others have come to."""
        if self._store is None and launched() and not self._lost:
            self._store, _, _ = meet()
            # where another was the first before, the others are out of step with this one
            self._lost = self._store.add("first", 1) > 1
        if self._lost:
            raise StageError("the other processes of this run are gone.", AGAIN)
        if self._store is None:
            store = TCPStore(HERE, 0, None, True, EVER, wait_for_workers=False)
            self._store, self._stages = PrefixStore(PREFIX, store), 0
            os.environ.setdefault("GLOO_SOCKET_IFNAME", LOOPBACK)
            for rank in range(1, size):
                self._started.append(self._start(rank, size, store.port))
        return self._store

    def _start(self, rank: int, size: int, port: int) -> "subprocess.Popen[bytes]":
        where = zip(LAUNCHED, (rank, size, HERE, port), strict=True)
        told = {name: str(value) for name, value in where} | {"LOCAL_RANK": str(rank)}
        return subprocess.Popen(self._command, env=os.environ | told, stdin=subprocess.DEVNULL)

    def _await(self, store: Store, stage: int, size: int) -> None:
        """Wait until all have come to a stage; StageError where one has ended or failed instead."""
        others = range(1, size)
        while not store.check([_here(stage, rank) for rank in others]):
            for rank in others:
                who = f"process {rank + 1} of {size}"
                if store.check([_word(stage, rank)]):
                    word = Word(**json.loads(store.get(_word(stage, rank))))
                    self._lose()
                    raise StageError(f"{who}: {word.error}", word.next_step)
                status = self._started[rank - 1].poll() if self._started else None
                if status is not None:
                    self._lose()
                    raise StageError(f"{who} ended with status {status} before it began.", TOO_MANY)
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def _last_word(
        self, store: Store, stage: int, rank: int, until: float, *, hurry: bool
    ) -> Word | None:
        """Return a process's word on how a stage ended for it; None where it gives none in time.

        Where there is no hurry, one that still lives is waited for; a launcher ends all with it.
        """
        key = _word(stage, rank)
        while not store.check([key]):
            gone = bool(self._started) and self._started[rank - 1].poll() is not None
            late = hurry and time.monotonic() > until
            if late or (gone and not store.check([key])):
                return None
            time.sleep(SECONDS_BETWEEN_LOOKS)
        return Word(**json.loads(store.get(key)))

    def _end_of(self, rank: int) -> str:
        """Return how a process that said nothing ended, as far as it is known here."""
        status = self._started[rank - 1].poll() if self._started else None
        return " without a word" if status is None else f" with status {status}"


class Peer:
    """One of the other processes, from its own side."""

    def __init__(self) -> None:
        self._store, self.rank, self.size = meet()
        self._stage = 0

    def next(self) -> dict[str, Any] | None:
        """Return the request of the next stage, once there is one; None after the last."""
        text = self._store.get(_request(self._stage))
        request: dict[str, Any] | None = json.loads(text) if text else None
        return request

    @contextmanager
    def at_work(self, request: Mapping[str, Any]) -> Iterator[None]:
        """Be at work on the stage with all others."""
        self._store.set(_here(self._stage, self.rank), "")
        with joined(self._store, self._stage, self.rank, self.size, request["device"]):
            yield

    def end(self, word: Word) -> None:
        """Give the word on the stage; it ends this process where the others did not fail too.

        They may be waiting for it: only its end tells them.
        """
        stage, self._stage = self._stage, self._stage + 1
        self._store.set(_word(stage, self.rank), json.dumps(asdict(word)))
        if word.error and not _in_time(self._store, _over(stage)):
            os._exit(1)


def meet() -> tuple[Store, int, int]:
    """Return the store that the environment names, this process's number, and how many there are.

    It waits for the first process to come there.
    """
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    store, rank, size = next(rendezvous("env://", rank, size))
    store.set_timeout(EVER)
    return PrefixStore(PREFIX, store), rank, size


@contextmanager
def joined(store: Store, stage: int, rank: int, size: int, device: str) -> Iterator[None]:
    """Be one of a process group while a stage is at work."""
    backend = "gloo"
    if device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", rank)))
        backend = "cpu:gloo,cuda:nccl"
    place = PrefixStore(f"{stage}/group", store)
    distributed.init_process_group(
        backend, store=place, rank=rank, world_size=size, timeout=PATIENCE
    )
    try:
        yield
    finally:
        distributed.destroy_process_group()


@contextmanager
def _ended_at_once() -> Iterator[None]:
    """End this process where it is asked to leave in the middle of a stage.

    What waits for the others in C++ would hold it, and they would wait for it.
    """
    try:
        yield
    except (SystemExit, KeyboardInterrupt):
        os._exit(RunInterruptedError.exit_code)


def _is_consequence(error: str) -> bool:
    """Tell whether an error says no more than that another process is gone."""
    return any(word in error for word in ("gloo", "NCCL", "Connection closed", "Connection reset"))


def _request(stage: int) -> str:
    return f"{stage}/request"


def _over(stage: int) -> str:
    return f"{stage}/over"


def _word(stage: int, rank: int) -> str:
    return f"{stage}/word/{rank}"


def _here(stage: int, rank: int) -> str:
    return f"{stage}/here/{rank}"


def _in_time(store: Store, key: str) -> bool:
    try:
        store.wait([key], ENOUGH)
    except distributed.DistStoreError:
        return False
    return True
