"""Training: how each trained stage went."""

from collections.abc import Mapping

from edgekd.core.quantity import significant
from edgekd.report.schema import Report, Training
from edgekd.report.sections.parts import Figure, Part, Section
from edgekd.report.tables import (
    Table,
    row_of,
)


def training(report: Report) -> Section | None:
    """Return the curves of every trained stage; None where none was trained."""
    if not report.training:
        return None

    def draw(name: str, width: int) -> str:
        from edgekd.report.charts.training import training as chart

        return chart(report.training, name, width)

    caption = (
        "Every term of the loss, and the score on the validation split that chose the epoch to "
        "keep (dot). Epochs after the dot did not help."
    )
    tables = [training_table(one) for one in report.training]
    return Section("training", "Training", parts=[Part(figures=[Figure(draw, caption, tables)])])


def training_table(training: Training) -> Table:
    """Return a stage's training epoch by epoch."""
    terms = list(dict.fromkeys(name for e in training.epochs for name in e.terms))
    scores = list(dict.fromkeys(name for e in training.epochs for name in e.validation))

    def number(values: Mapping[str, float], name: str) -> str:
        return significant(values[name]) if name in values else "—"

    rows = [
        row_of(
            f"{e.epoch}{' (kept)' if e.epoch == training.best_epoch else ''}",
            significant(e.learning_rate),
            significant(e.loss),
            *(number(e.terms, name) for name in terms),
            *(number(e.validation, name) for name in scores),
        )
        for e in training.epochs
    ]
    head = ("Epoch", "Learning rate", "Loss", *terms)
    return Table(
        f"Training of {training.stage}",
        (*head, *(f"validation {name}" for name in scores)),
        rows,
    )
