"""`edgekd recommend`: a trial on the user's own task, and the pipeline that it proposes."""

import json
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import typer
from rich.console import Console

from edgekd.cli.printable import aligned
from edgekd.cli.terminal import duration, renderer
from edgekd.core.errors import Problem, RequestError, RunInterruptedError
from edgekd.core.quantity import Quantity
from edgekd.ops.statistics import mean_interval
from edgekd.pipeline.run import Settings
from edgekd.recommend.asked import Asked
from edgekd.recommend.candidates import Tried
from edgekd.recommend.proposal import proposal, write
from edgekd.recommend.schedule import Round
from edgekd.recommend.subject import Subject, losses_of, read_subject
from edgekd.recommend.trial import Trial, as_document, epochs_of, hold
from edgekd.recommend.verdict import Against, Learned, Verdict, judge
from edgekd.report.words import plural


def recommend_and_write(asked: Asked, store: Path, runs: Path, jobs: int, *, as_json: bool) -> int:
    """Hold the trial, print what it shows, write the pipeline, and return the exit code."""
    settings = Settings(store.absolute(), runs.absolute())
    console = Console(markup=False, emoji=False, highlight=False, soft_wrap=True)
    subject = read_subject(asked.file, asked.stage)
    tried = losses_of(subject, asked.only)
    if all(one.control for one in tried.candidates):
        reasons = [f"{name}: {reason}." for name, reason in tried.left_out.items()]
        message = "\n".join(["nothing besides the controls can be tried.", *reasons])
        raise RequestError(Problem("", message, "", str(asked.file)))

    def begin(number: int, of: int, one: Round) -> None:
        if not as_json:
            console.print(f"\n{_round(number, of, one, tried)}")

    with nullcontext(lambda _: None) if as_json else renderer(as_json) as listener:
        try:
            budget = epochs_of(asked.budget, subject, tried.candidates, settings, listener)
            trial = hold(subject, tried.candidates, budget, settings, listener, begin, jobs)
        except RunInterruptedError:
            message = "Interrupted; what was learned is kept, and the same command goes on."
            raise RunInterruptedError(message) from None
    verdict = judge(trial.last, trial.unit)
    taken = verdict.taken.candidate
    why = f"{taken.method}: {verdict.why}"
    write(asked.out, proposal(asked.file, subject.stage, taken.sets, why))
    if as_json:
        document = _document(asked, subject, tried, budget, trial, verdict)
        typer.echo(json.dumps(document, indent=1, ensure_ascii=False))
    else:
        for line in (*_lines(tried, trial, verdict), *_short(trial, subject)):
            console.print(line)
        console.print(f"\nWrote {asked.out}. Next: edgekd plan {asked.out}")
    return 0


def _round(number: int, of: int, one: Round, tried: Tried) -> str:
    controls = plural(sum(each.control for each in tried.candidates), "control")
    methods = f"{one.methods} loss" + ("es" if one.methods != 1 else "")
    length = f"{plural(one.epochs, 'epoch')}, {plural(one.seeds, 'seed')}"
    return f"Round {number} of {of}: {methods} and {controls}, {length}"


def _lines(tried: Tried, trial: Trial, verdict: Verdict) -> Iterator[str]:
    yield ""
    yield from _table(trial, verdict)
    yield from (f"  {one.candidate.words} failed: {one.failure}" for one in _failed(trial))
    yield from (f"  not tried: {name}: {why}" for name, why in tried.left_out.items())
    yield ""
    yield f"Recommended: {_named(verdict.taken)}. Why: {verdict.why}."
    yield "The scores are of the validation split; the test split is left for the report."


def _short(trial: Trial, subject: Subject) -> Iterator[str]:
    """Yield that students learned for less long than they will, which may change the order."""
    last, _ = trial.rounds[-1]
    if last.epochs < subject.epochs:
        learned = f"The last round learned for {last.epochs} of the file's"
        yield f"{learned} {plural(subject.epochs, 'epoch')}: a larger --budget tells more."


def _failed(trial: Trial) -> list[Learned]:
    return [one for _, learned in trial.rounds for one in learned if one.failure]


def _table(trial: Trial, verdict: Verdict) -> Iterator[str]:
    """Yield the last round, the best first, and what a training cost beside the first control's."""
    base = next(one for one in trial.last if one.scores)
    head = ["method", "loss", trial.measure, f"against {base.candidate.method}", "cost"]
    rows = [
        [
            one.candidate.method,
            one.candidate.words,
            str(score(one, trial.unit)),
            _against(verdict.against.get(one.candidate.words), trial.unit),
            f"{one.cpu_seconds / base.cpu_seconds:.2f}x" if base.cpu_seconds else "?",
        ]
        for one in sorted(trial.last, key=lambda one: one.mean, reverse=True)
        if one.scores
    ]
    yield from aligned([head, *rows])
    seconds = sum(one.cpu_seconds * len(one.scores) for _, ones in trial.rounds for one in ones)
    yield f"  all rounds: {duration(seconds)} of processor time"


def score(one: Learned, unit: str) -> Quantity:
    """Return the mean over the seeds with its 95 % interval (Student's t)."""
    values = np.array([*one.scores.values()])
    low, high = mean_interval(values) if len(values) > 1 else (None, None)
    if unit == "share" and low is not None and high is not None:
        low, high = max(0.0, low), min(1.0, high)
    return Quantity(one.mean, unit, low, high, len(values))


def _against(found: Against | None, unit: str) -> str:
    if found is None:
        return "-"
    apart = "share_difference" if unit == "share" else unit
    low, high = found.test.interval or (None, None)
    text = str(Quantity(found.test.mean, apart, low, high))
    return text if found.p is None else f"{text}, p = {found.p:.2g}"


def _named(one: Learned) -> str:
    method, words = one.candidate.method, one.candidate.words
    return f"{method}, {words}" if method != words else method


def _document(
    asked: Asked, subject: Subject, tried: Tried, budget: int, trial: Trial, verdict: Verdict
) -> dict[str, Any]:
    taken = verdict.taken.candidate
    tests = [
        {
            "loss": words,
            "mean": found.test.mean,
            "interval": _interval(found),
            "p": found.p,
            "seeds": found.test.pairs,
        }
        for words, found in verdict.against.items()
    ]
    return {
        "file": str(asked.file),
        "stage": subject.stage,
        "budget_epochs": budget,
        "measure": trial.measure,
        "unit": trial.unit,
        "split": "validation",
        "rounds": as_document(trial),
        "left_out": dict(tried.left_out),
        "recommended": {"method": taken.method, "loss": taken.words, "sets": dict(taken.sets)},
        "why": verdict.why,
        "against": next(one for one in trial.last if one.scores).candidate.method,
        "tests": tests,
        "out": str(asked.out),
    }


def _interval(found: Against) -> Sequence[float] | None:
    return [*found.test.interval] if found.test.interval else None
