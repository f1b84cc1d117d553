"""Several targets at the same time: a thread each, none of which ends the others by failing."""

from collections.abc import Callable, Mapping, Sequence
from threading import Event, Lock, Thread
from typing import TypeVar

from edgekd.core.errors import EdgekdError, StageError, UnreachableError
from edgekd.trial.on_target import Progress

T = TypeVar("T")
Work = Callable[[Progress], T]
"""Does what is to be done on one target; it must say how far it is before every part of it."""


class _LeftError(Exception):
    """Nobody waits for the work any more."""


def at_once(works: Mapping[str, Work[T]], progress: Progress) -> dict[str, T | EdgekdError]:
    """Return what the work on each target came to, or why it could not be done, in their order.

    Work on one device waits for its turn there (`devices.turn`). Where this is interrupted, work
    that still goes on ends the next time that it says how far it is; so it is where one of them
    raises what is not of its target, which is raised here.
    """
    if len(works) == 1:
        return {name: _tried(work, progress) for name, work in works.items()}
    found: dict[str, T | EdgekdError] = {}
    raised: list[BaseException] = []
    left, one = Event(), Lock()

    def said(done: int, of: int, what: str) -> None:
        if left.is_set():
            raise _LeftError
        with one:
            progress(done, of, what)

    def go(name: str, work: Work[T]) -> None:
        try:
            found[name] = _tried(work, said)
        except BaseException as error:  # raised again where it is waited for
            raised.append(error)
            left.set()

    threads = [Thread(target=go, args=each, daemon=True) for each in works.items()]
    try:
        _until_all_end(threads)
    finally:
        left.set()
    if raised:
        raise raised[0]
    return {name: found[name] for name in works}


def _until_all_end(threads: Sequence[Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _tried(work: Work[T], progress: Progress) -> T | EdgekdError:
    """Return what work comes to, or what a user can mend."""
    try:
        return work(progress)
    except (StageError, UnreachableError) as error:
        return error


def as_one(errors: Mapping[str, EdgekdError]) -> EdgekdError:
    """Return what to raise for targets that failed: the error, or one that tells all of them."""
    if len(errors) == 1:
        return next(iter(errors.values()))
    said = "\n".join(f"{name}: {str(error).strip()}" for name, error in errors.items())
    lost = any(isinstance(error, UnreachableError) for error in errors.values())
    return UnreachableError(said) if lost else StageError(said)
