"""Training: how each trained stage went."""

from collections.abc import Mapping, Sequence

from edgekd.core.quantity import significant
from edgekd.report.schema.report import Report
from edgekd.report.schema.training import Epoch, Training
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
        "Every term of the loss with its deviation over batches, and the score on the validation "
        "split that chose the epoch to keep (dot). Epochs after the dot did not help."
    )
    tables = [training_table(one) for one in report.training]
    costs = [cost_table(found)] if (found := [t for t in report.training if t.cost]) else []
    part = Part(figures=[Figure(draw, caption, tables)], tables=costs)
    return Section("training", "Training", parts=[part])


SPREAD = "; terms ± their standard deviation over batches"


def cost_table(trainings: Sequence[Training]) -> Table:
    """Return what each training took and where its time went."""
    costs = {one.stage: one.cost for one in trainings if one.cost}
    parts = list(dict.fromkeys(part for cost in costs.values() for part in cost.time_shares))
    several = max(cost.processes for cost in costs.values()) > 1
    rows = [
        row_of(
            stage,
            *([str(cost.processes)] if several else []),
            f"{cost.samples_per_s:,.0f}",
            *(f"{100 * cost.time_shares.get(part, 0.0):.1f}" for part in parts),
            significant(cost.first_step_s),
            f"{cost.peak_memory_mib:,.0f}",
            cost.precision,
        )
        for stage, cost in costs.items()
    ]
    shares = (f"{part.capitalize()}, %" for part in parts)
    who = ("Stage", "Processes") if several else ("Stage",)
    head = (*who, "Examples/s", *shares, "First step, s", "Peak memory, MiB", "Precision")
    return Table("What training took", head, rows, words=(0, len(head) - 1))


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
            *(_with_spread(e, name) for name in terms),
            *(number(e.validation, name) for name in scores),
        )
        for e in training.epochs
    ]
    head = ("Epoch", "Learning rate", "Loss", *terms)
    spread = any(e.spreads for e in training.epochs)
    return Table(
        f"Training of {training.stage}{SPREAD if spread else ''}",
        (*head, *(f"validation {name}" for name in scores)),
        rows,
    )


def _with_spread(epoch: Epoch, term: str) -> str:
    """Return a term's mean over an epoch, and how much it varied where that is known."""
    if term not in epoch.terms:
        return "—"
    beside = f" ± {significant(epoch.spreads[term], 2)}" if term in epoch.spreads else ""
    return f"{significant(epoch.terms[term])}{beside}"
