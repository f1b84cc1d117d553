"""What can be told of a task's options before its data is read."""

from collections.abc import Iterator

from edgekd.core.errors import Problem


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
