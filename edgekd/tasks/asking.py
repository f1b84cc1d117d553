"""What tasks ask of their source and splits, whatever the examples are."""

from collections.abc import Callable, Iterator, Sequence

from edgekd.core.errors import Problem, RequestError
from edgekd.core.protocols.values import Split

SPLITS: Sequence[Split] = ("train", "validation", "test")


def examine_all(examine: Callable[[Split], object]) -> None:
    """Have every split looked at; RequestError with what is found in any, each fault once."""
    problems: list[Problem] = []
    for split in SPLITS:
        try:
            examine(split)
        except RequestError as error:
            problems += [p for p in error.problems if p not in problems]
    if problems:
        raise RequestError(problems)


def check_few(wanted: int | None, there: int | None, classes: int, what: str) -> Iterator[Problem]:
    """Yield why so few training examples, `what`, cannot be drawn of those that are there."""
    if wanted is not None and wanted < classes:
        yield Problem(
            "task.train_examples",
            f"{wanted} training {what} cannot show all {classes} classes.",
            f"Ask for at least {classes}; a draw by chance takes several times as many.",
        )
    if wanted is not None and there is not None and wanted > there:
        yield Problem(
            "task.train_examples",
            f"{wanted} asks for more than the {there} there are.",
            "Ask for fewer, or leave it out to use all.",
        )
