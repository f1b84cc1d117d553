"""A process that tries mutants one after another and says what came of each.

    python -P -m fuzz.MODULE SEED FIRST COUNT STEP PLACE

Says on lines of its output, as JSON, what it found; PLACE holds the number at work.
"""

import json
import os
import re
import resource
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from edgekd.core.errors import EdgekdError, RequestError

SECONDS = 10
"""Processor time that one mutant may take."""
MEMORY = 4 << 30
LONGEST = 100_000
BETWEEN_COUNTS = 200
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Outcome:
    """What came of a mutant."""

    kind: str
    """What it was a mutant of, and what came of it: one line of the table."""
    why: str = ""
    """What should not have happened; nothing where all went well."""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """What the mutant was, to try it again."""


Try = Callable[[int, int], Outcome]
"""Takes the seed and the number of a mutant."""


class TooLongError(BaseException):
    """The limit of a mutant is reached: nothing may catch it as a mistake of its own."""


def work(prepare: Callable[[Path], Try], memory: int = MEMORY) -> None:
    """Try the mutants of the command line, in an own folder that `prepare` furnishes."""
    seed, first, count, step = map(int, sys.argv[1:5])
    place = os.open(sys.argv[5], os.O_RDWR | os.O_CREAT)
    os.environ["HF_HUB_OFFLINE"] = "1"
    signal.signal(signal.SIGPROF, _too_long)
    with tempfile.TemporaryDirectory(prefix="edgekd-fuzz-") as made:
        os.chdir(made)
        tried = prepare(Path(made))
        resource.setrlimit(resource.RLIMIT_AS, (memory, resource.RLIM_INFINITY))
        counts: Counter[str] = Counter()
        for number in range(first, first + count * step, step):
            os.pwrite(place, b"%20d" % number, 0)
            outcome = tried(seed, number)
            if sum(counts.values()) >= BETWEEN_COUNTS:
                _say(counts=counts)
                counts.clear()
            counts[outcome.kind if not outcome.why else f"{outcome.kind}: FOUND"] += 1
            if outcome.why:
                _say(number=number, seed=seed, why=outcome.why, **outcome.evidence)
        _say(counts=counts, done=True)


def _say(**message: Any) -> None:
    print(json.dumps(message, default=str), file=sys.__stdout__, flush=True)


def _too_long(_number: int, _frame: FrameType | None) -> None:
    raise TooLongError


@contextmanager
def limited() -> Iterator[None]:
    """End the block by TooLongError after `SECONDS` of processor time."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def answered(ask: Callable[[], Any]) -> tuple[Any, str, str]:
    """Return what `ask` returned, what came of it in a word, and what should not have happened."""
    try:
        with limited():
            found = ask()
    except EdgekdError as error:
        return None, "refused", fault(error)
    except TooLongError as error:
        return None, "hung", f"hang: {where(error.__traceback__)}"
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"[:300]
        return None, "raised", f"{said} {where(error.__traceback__)}"
    return found, "read", ""


def fault(error: EdgekdError) -> str:
    """Return what is wrong with a refusal."""
    text = str(error)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "the refusal cannot be written as UTF-8"
    if "Traceback" in text or not text.strip():
        return f"the refusal is no message: {text[:200]}"
    if len(text) > LONGEST:
        return f"the refusal has {len(text)} characters: {text[:200]}"
    if CONTROL.search(text):
        return f"the refusal has control characters: {CONTROL.sub('?', text)[:200]}"
    problems = error.problems if isinstance(error, RequestError) else ()
    if any(not problem.message for problem in problems):
        return f"a problem without message: {problems!r:.300}"
    return ""


def where(trace: TracebackType | None) -> str:
    """Return the innermost frames of a traceback, those of edgekd first."""
    frames = traceback.extract_tb(trace)
    ours = [f for f in frames if "/edgekd/" in f.filename] or frames
    last = [*ours[-2:], *frames[-1:]]
    return " < ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in reversed(last))
