"""The trial itself: a run of the pipeline for each round, whose results the store keeps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean
from typing import Any

from edgekd.core.artifact import digest_json
from edgekd.core.errors import StageError
from edgekd.pipeline.events import Event, Listener, RunDone
from edgekd.pipeline.kept import read_sealed, write_sealed
from edgekd.pipeline.outcome import RunResult
from edgekd.pipeline.rehearsal import rehearse_pipeline
from edgekd.pipeline.resolved import Request
from edgekd.pipeline.run import Settings, run_pipeline
from edgekd.recommend.asked import Budget
from edgekd.recommend.candidates import Candidate
from edgekd.recommend.schedule import Round, least_budget, schedule
from edgekd.recommend.subject import Subject
from edgekd.recommend.verdict import Learned

TIMES_OF_THE_FILE = 20
"""Without a budget, how many trainings as long as the file's all of it may take."""
ROOM = "recommend"
"""Of the store: what an epoch takes here, so that a trial that goes on has the same rounds."""


@dataclass(frozen=True)
class Trial:
    """Rounds that are over, and what each came to, in the order in which they were tried."""

    unit: str
    measure: str
    rounds: Sequence[tuple[Round, Sequence[Learned]]]

    @property
    def last(self) -> Sequence[Learned]:
        """The round with several seeds."""
        return self.rounds[-1][1]


def epochs_of(
    budget: Budget | None,
    subject: Subject,
    tried: Sequence[Candidate],
    settings: Settings,
    listener: Listener,
) -> int:
    """Return a budget in epochs of the student; of time, what an epoch of plain KD takes here.

    That is timed once, by rehearsing it, and kept in the store. Without a budget it is twenty times
    the file's epochs, and at least one for each training.
    """
    if budget is None:
        controls = sum(one.control for one in tried)
        least = least_budget(len(tried) - controls, controls)
        return max(TIMES_OF_THE_FILE * subject.epochs, least)
    if budget.unit == "epochs":
        return int(budget.amount)
    sets = subject.sets([one for one in tried if one.control], 1, subject.seed, 1)
    request = Request(str(subject.file.absolute()), sets)
    file = settings.store / ROOM / f"{digest_json(asdict(request))[:20]}.json"
    seconds = read_sealed(file)
    if seconds is None:
        seconds = _timed(request, subject, settings, listener)
        write_sealed(file, seconds)
    return int(budget.amount / seconds)


def _timed(request: Request, subject: Subject, settings: Settings, listener: Listener) -> float:
    """Return the seconds of the dearest control's epoch, its scoring included."""
    found = rehearse_pipeline(request, settings, _but_its_end(listener), subject.stage)
    told = [
        manifest.facts["rehearsed"]["seconds"]
        for name, manifest in found.made.items()
        if name.partition(".")[0] == subject.stage
    ]
    if not told:
        raise StageError("\n".join(found.failed.values()) or "no control could be rehearsed.")
    return float(max(told))


def hold(
    subject: Subject,
    tried: Sequence[Candidate],
    budget: int,
    settings: Settings,
    listener: Listener,
    begin: Callable[[int, int, Round], None],
    jobs: int = 1,
) -> Trial:
    """Hold the rounds and return what came of each; `begin` hears of each before it starts.

    Raises what a run would. A loss that fails is out; StageError where all fail.
    """
    controls = [one for one in tried if one.control]
    left = [one for one in tried if not one.control]
    planned = schedule(len(left), len(controls), budget, subject.epochs)
    held: list[tuple[Round, Sequence[Learned]]] = []
    unit = measure = ""
    for number, one in enumerate(planned, 1):
        begin(number, len(planned), one)
        final = number == len(planned)
        arms = [*controls, *left[: one.methods]]
        seed = subject.seed + 1 if final else subject.seed
        sets = subject.sets(arms, one.epochs, seed, one.seeds)
        request = Request(str(subject.file.absolute()), sets)
        hear = _but_its_end(listener)
        made = run_pipeline(request, settings, hear, subject.stage, jobs=jobs)
        learned = [_learned(arm, n, subject.stage, made) for n, arm in enumerate(arms, 1)]
        unit, measure = unit or _told(made, "unit"), measure or _told(made, "measure")
        held.append((one, learned))
        order = sorted(learned, key=lambda found: found.mean, reverse=True)
        left = [found.candidate for found in order if not found.candidate.control and found.scores]
    if not any(found.scores for found in held[-1][1]):
        raise StageError("\n".join({found.failure for found in held[-1][1]}))
    return Trial(unit, measure, held)


def _learned(candidate: Candidate, number: int, stage: str, made: RunResult) -> Learned:
    """Return what a candidate came to over the seeds."""
    name = f"{stage}.{number}"
    own = [s for s in made.resolved.stages if s.name.partition(".seed-")[0] == name]
    scores = {
        s.seed: float(made.facts[s.name]["result"]["value"]) for s in own if s.name in made.facts
    }
    failure = next((made.failed[s.name] for s in own if s.name in made.failed), "")
    took = [made.manifests[s.name].cpu_seconds for s in own if s.name in made.manifests]
    return Learned(candidate, {} if failure else scores, mean(took) if took else 0.0, failure)


def _told(made: RunResult, what: str) -> str:
    """Return the unit or the name of what the students were scored by."""
    for facts in made.facts.values():
        if "measure" in facts and isinstance(facts.get("result"), Mapping):
            return str(facts["measure"] if what == "measure" else facts["result"]["unit"])
    return ""


def _but_its_end(listener: Listener) -> Listener:
    """Return a listener that does not hear what a round came to: that is told of all of them."""

    def hear(event: Event) -> None:
        if not isinstance(event, RunDone):
            listener(event)

    return hear


def as_document(trial: Trial) -> list[dict[str, Any]]:
    """Return the rounds in JSON values."""
    return [
        asdict(one)
        | {
            "losses": [
                {
                    "method": found.candidate.method,
                    "loss": found.candidate.words,
                    "sets": dict(found.candidate.sets),
                    "control": found.candidate.control,
                    "scores": {str(seed): score for seed, score in found.scores.items()},
                    "cpu_seconds": round(found.cpu_seconds, 3),
                    "failure": found.failure,
                }
                for found in learned
            ]
        }
        for one, learned in trial.rounds
    ]
