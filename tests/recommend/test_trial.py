"""Rounds are runs of the pipeline; a third goes on, and the last learns under fresh seeds."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from edgekd.core.errors import StageError
from edgekd.pipeline.run import Settings
from edgekd.recommend import trial
from edgekd.recommend.asked import Budget
from edgekd.recommend.candidates import Candidate
from edgekd.recommend.schedule import schedule
from edgekd.recommend.trial import epochs_of, hold

CONTROLS = [Candidate("labels alone", {"objective": ["cross_entropy"]}, control=True)]
LOSSES = [Candidate(f"m{n}", {"objective": [f"m{n}"]}) for n in range(9)]


def quiet(*_):
    pass


class Subject:
    """A stage of which nothing has to be trained."""

    file, stage, seed, epochs = SimpleNamespace(absolute=lambda: "f.yaml"), "student", 7, 4

    def __init__(self):
        self.asked = []

    def sets(self, tried, epochs, seed, seeds):
        self.asked.append(([one.method for one in tried], epochs, seed, seeds))
        return []


@pytest.fixture
def subject(monkeypatch, tmp_path):
    """Return a subject whose losses come to their number in percent; m8 fails."""
    found = Subject()

    def run(*_args, **_options):
        methods, _, seed, seeds = found.asked[-1]
        names = {
            f"student.{n}" + (f".seed-{s}" if s != seed else ""): (method, s)
            for n, method in enumerate(methods, 1)
            for s in range(seed, seed + seeds)
        }
        made = {name: at for name, at in names.items() if at[0] != "m8"}
        return SimpleNamespace(
            resolved=SimpleNamespace(
                stages=[SimpleNamespace(name=name, seed=s) for name, (_, s) in names.items()]
            ),
            facts={
                name: {"measure": "accuracy", "result": {"value": worth(m), "unit": "share"}}
                for name, (m, _) in made.items()
            },
            failed={name: "diverged." for name, at in names.items() if at[0] == "m8"},
            manifests={name: SimpleNamespace(cpu_seconds=2.0) for name in made},
        )

    monkeypatch.setattr(trial, "run_pipeline", run)
    found.settings = Settings(tmp_path / "store", tmp_path / "runs")
    return found


def worth(method):
    return int(method[1:]) / 100 if method.startswith("m") else 0.02


def test_the_better_third_goes_on_and_what_failed_does_not(subject):
    heard = []
    held = hold(
        subject, [*CONTROLS, *LOSSES], 60, subject.settings, quiet, lambda *at: heard.append(at)
    )
    (first, _, seed, seeds), (last, epochs, final_seed, final_seeds) = subject.asked
    assert first == ["labels alone", *(one.method for one in LOSSES)]
    assert last == ["labels alone", "m7", "m6", "m5"]
    assert (seed, seeds, final_seed, final_seeds) == (7, 1, 8, 5)
    assert [at[:2] for at in heard] == [(1, 2), (2, 2)]
    assert held.last[1].scores == dict.fromkeys(range(8, 13), 0.07)
    assert held.rounds[0][1][-1].failure == "diverged."
    assert (held.unit, held.measure) == ("share", "accuracy")
    assert 1 <= epochs <= 4


def test_where_all_fail_the_failure_is_told(subject):
    alone = [replace(CONTROLS[0], method="m8"), LOSSES[8]]
    with pytest.raises(StageError, match="diverged"):
        hold(subject, alone, 60, subject.settings, quiet, quiet)


def test_without_a_budget_it_takes_twenty_trainings_and_an_epoch_for_each_at_least(subject):
    assert epochs_of(None, subject, CONTROLS, subject.settings, quiet) == 80
    many = [*CONTROLS, *LOSSES * 10]
    least = epochs_of(None, subject, many, subject.settings, quiet)
    assert least > 80
    controls = sum(one.control for one in many)
    rounds = schedule(len(many) - controls, controls, least, subject.epochs)
    assert {one.epochs for one in rounds} == {1}


def test_a_budget_of_epochs_is_taken_as_it_is(subject):
    assert epochs_of(Budget(12, "epochs"), subject, CONTROLS, subject.settings, quiet) == 12


def test_time_is_told_in_epochs_by_one_rehearsal(subject, monkeypatch):
    timed = []

    def rehearse(*_):
        timed.append(1)
        told = {"student.1": 0.5, "student.2": 2.0, "teacher": 50.0}
        made = {n: SimpleNamespace(facts={"rehearsed": {"seconds": s}}) for n, s in told.items()}
        return SimpleNamespace(made=made, failed={})

    monkeypatch.setattr(trial, "rehearse_pipeline", rehearse)
    for _ in range(2):
        asked = Budget(90, "seconds")
        assert epochs_of(asked, subject, CONTROLS, subject.settings, quiet) == 45
    assert timed == [1]
