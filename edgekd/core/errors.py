"""The four user errors and how they are worded: where, what was found, what to do next.

Each carries the exit code of the command that meets it. None of them shows a traceback; anything
else that escapes is our own mistake and does.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches


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
        lines = [f"  {line}" for text in body for line in text.splitlines()]
        return "\n".join(([head] if head else []) + lines)


class EdgekdError(Exception):
    """Something that the user can mend."""

    exit_code = 2


class RequestError(EdgekdError):
    """The request is wrong: every problem that could be found, together."""

    def __init__(self, problems: Iterable[Problem] | Problem):
        self.problems: Sequence[Problem] = (
            (problems,) if isinstance(problems, Problem) else tuple(problems)
        )
        super().__init__("\n".join(str(problem) for problem in self.problems))


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
