"""The four user errors and how they are worded: where, what was found, what to do next.

Each carries the exit code of the command that meets it. None of them shows a traceback; anything
else that escapes is our own mistake and does.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

MOST_SHOWN = 50
SHOWN = 10
"""Files that one problem names."""
LONGEST_LINE = 1000
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]")
"""Characters that would move the cursor of a terminal, colour it or turn the text round."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a request."""

    path: str
    """Where in the file, as in `stages.student.objective[0].kind`; may be empty."""
    message: str
    """What was found and what was expected."""
    next_step: str = ""
    """What to do about it."""
    place: str = ""
    """`file:line`, or the option of the command line that said it."""

    def __str__(self) -> str:
        head = ": ".join(part for part in (self.place, self.path) if part)
        body = [self.message] + ([self.next_step] if self.next_step else [])
        lines = [f"  {line}" for text in body for line in text.split("\n") if line]
        return "\n".join(map(_printable, ([head] if head else []) + lines))


def _printable(line: str) -> str:
    """Return a line that a terminal shows as it is: what a file says may be quoted in it."""
    short = line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 3] + "..."
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), short)


class EdgekdError(Exception):
    """Something that the user can mend."""

    exit_code = 2


class RequestError(EdgekdError):
    """The request is wrong: every problem that could be found, together."""

    def __init__(self, problems: Iterable[Problem] | Problem):
        self.problems: Sequence[Problem] = (
            (problems,) if isinstance(problems, Problem) else tuple(problems)
        )
        shown = [str(problem) for problem in self.problems[:MOST_SHOWN]]
        more = len(self.problems) - len(shown)
        super().__init__("\n".join([*shown, *([f"... and {more} more problems."] if more else [])]))


class UnreadableError(RequestError):
    """Examples that cannot be read: why, for each of them."""

    def __init__(self, reasons: Sequence[str]):
        self.reasons = tuple(reasons)
        more = [f"and {len(reasons) - SHOWN:,} more"] if len(reasons) > SHOWN else []
        what = "1 picture" if len(reasons) == 1 else f"{len(reasons):,} pictures"
        listed = "\n".join([*reasons[:SHOWN], *more])
        step = "Replace or remove them."
        super().__init__(Problem("task.data", f"{what} cannot be read:\n{listed}.", step))


class StageError(EdgekdError):
    """A stage could not reach what was asked of it: training diverged, parity failed."""

    exit_code = 1

    def __init__(self, message: str, next_step: str = ""):
        self.message, self.next_step = message, next_step
        super().__init__(str(Problem("", message, next_step)).strip())


class UnreachableError(EdgekdError):
    """A device or a resource cannot be reached."""

    exit_code = 3


class RunInterruptedError(EdgekdError):
    """The user or the system ended the run; what was finished is kept."""

    exit_code = 130


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `Did you mean 'x'? Known: a, b, x.`, or only what is known."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    guess = f"Did you mean '{close[0]}'? " if close else ""
    shown = ", ".join(names[:30]) + (", ..." if len(names) > 30 else "")
    return f"{guess}Known: {shown}." if names else f"{guess}None is known."
