"""Which of several programs is taken, and which are timed no further."""

from pathlib import Path

import numpy as np
import pytest
import torch

from edgekd.core.errors import StageError
from edgekd.core.results import Restart
from edgekd.core.signature import Port, Signature
from edgekd.devices.answers import Failure, Scores, Timing
from edgekd.devices.kept import Journal
from edgekd.devices.settings import settle
from edgekd.devices.target import Bench, Target
from edgekd.runtimes.folder import Program
from edgekd.trial import race as module
from edgekd.trial.entry import Entry
from edgekd.trial.inputs import Inputs
from edgekd.trial.race import Budget, Race

SIGNATURE = Signature(
    (Port("x", "float32", ("batch", 2)),), (Port("logits", "float32", ("batch", 2)),)
)
LABELS = torch.tensor([0, 1] * 50)
HERE = {"description": "here", "transport": {"kind": "local"}, "runtimes": ("onnxruntime",)}


class FakeSession:
    """Programs that take what `ms` says and answer so many examples wrongly."""

    def __init__(self, ms, wrong, fails):
        self.ms, self.wrong, self.fails = ms, wrong, fails
        self.scored, self.timed = [], []

    def tell(self, told):
        told("waiting, at most 60 s, for ada")

    def score(self, name, *_):
        self.scored.append(name)
        if self.fails.get(name) == "score":
            return Failure("was killed by SIGSEGV while loading")
        answers = LABELS.clone()
        answers[: self.wrong.get(name, 0)] ^= 1
        return Scores({"logits": np.eye(2, dtype=np.float32)[answers]}, "1", 1)

    def time(self, names, _, __, number):
        self.timed.append(sorted(names))
        return {name: self._timing(name, number) for name in names}

    def profile(self, name, samples, settings):
        return (name, samples, settings)

    def _timing(self, name, number):
        if self.fails.get(name) == number:
            return Failure("was killed by SIGABRT while it was timed")
        values = {"load_ms": 1, "first_ms": 1, "warmup_runs": 9, "runs": 20, "wall_s": 1}
        values |= {"cpu_s": 1, "peak_rss_mib": 9, "load_average": 0, "settled": True, "drift": 0.0}
        taken = np.full(20, float(self.ms[name]))
        return Timing(Restart.model_validate(values), taken, False, "1", ())


@pytest.fixture
def race(tmp_path, monkeypatch):
    """Return a function from latencies by name to a race; the first program is the reference."""

    def make(ms, *, wrong=(), fails=(), sizes=(), most=0.05, alike=(), restarts=3):
        session = FakeSession(ms, dict(wrong), dict(fails))
        monkeypatch.setattr(module, "Session", lambda *_: session)
        entries = []
        for name in ms:
            file = tmp_path / f"{dict(alike).get(name, name)}.onnx"
            file.write_bytes(b"0" * dict(sizes).get(name, 9))
            program = Program(file.name, "onnxruntime", "fp32", SIGNATURE, {}, "m", "d", 1, {})
            entries.append(Entry(name, "candidate", file, program))
        target = Target.model_validate(HERE)
        found = Race(
            target,
            entries,
            baselines=[entries[0].name],
            inputs=Inputs(Path("examples"), Path("samples"), {"labels": LABELS}),
            settings=settle(target.bench, Bench(restarts=restarts)),
            budget=Budget("accuracy", most),
            journal=Journal(tmp_path / "journal"),
        )
        return found, session

    return make


def run(found):
    return found.run(lambda done, total, what: None).entry.name


def became(found):
    return {racer.entry.name: racer.out or racer.behind for racer in found.racers}


def test_the_fastest_of_those_that_keep_the_budget_is_taken(race):
    found, session = race({"fp32": 2.0, "int8": 1.5, "bad": 0.5}, wrong={"int8": 5, "bad": 6})
    assert run(found) == "int8"
    assert became(found) == {"fp32": "", "int8": "", "bad": "loses 6.00 pt of accuracy"}
    assert session.timed == [["fp32", "int8"]] * 3


def test_operators_are_timed_on_what_programs_are_timed_on(race):
    found, _ = race({"fp32": 2.0})
    assert found.profile("fp32") == ("fp32", Path("samples"), found.settings)


def test_who_is_waited_for_is_said(race):
    found, _ = race({"fp32": 2.0})
    said = []
    found.run(lambda done, total, what: said.append(what))
    assert "waiting, at most 60 s, for ada" in said


def test_what_is_far_behind_is_timed_no_further_but_the_baseline_is(race):
    found, session = race({"fp32": 9.0, "quick": 1.0, "near": 1.4, "slow": 1.6})
    assert run(found) == "quick"
    assert session.timed == [["fp32", "near", "quick", "slow"], *[["fp32", "near", "quick"]] * 2]
    assert became(found)["slow"] == "1.6 times as slow as the fastest after 1 restart"
    by_name = {racer.entry.name: racer for racer in found.racers}
    assert by_name["quick"].quantities["speedup"].value == pytest.approx(9.0)
    assert by_name["slow"].quantities["speedup"].value == pytest.approx(9.0 / 1.6)
    assert len(by_name["slow"].timings) == 1


def test_of_those_that_are_about_as_fast_the_one_that_loses_least_is_taken(race):
    alike = {"fp32": 9.0, "a": 1.0, "b": 1.015, "c": 1.03}
    assert run(race(alike, wrong={"a": 3, "b": 2})[0]) == "b"
    assert run(race(alike, wrong={"a": 2, "b": 2}, sizes={"a": 20, "b": 10})[0]) == "b"
    assert run(race(alike, wrong={"a": 2, "b": 2}, sizes={"a": 10, "b": 20})[0]) == "a"


def test_programs_of_one_file_are_scored_once(race):
    found, session = race({"all": 2.0, "off": 1.0}, alike={"off": "all"})
    assert run(found) == "off"
    assert session.scored == ["all"]
    assert {r.quantities["accuracy"].value for r in found.racers} == {1.0}


@pytest.mark.parametrize(("at", "why"), [("score", "SIGSEGV"), (0, "SIGABRT"), (2, "SIGABRT")])
def test_one_that_fails_at_any_time_is_out_and_the_others_go_on(race, at, why):
    found, _ = race({"fp32": 2.0, "int8": 1.0}, fails={"int8": at})
    assert run(found) == "fp32"
    assert why in became(found)["int8"]
    assert "latency_p50_ms" not in found.racers[1].quantities


def test_what_was_behind_one_that_failed_is_timed_again(race):
    found, session = race({"fp32": 5.0, "a": 1.0, "b": 2.0, "c": 2.1}, fails={"a": 1})
    assert run(found) == "b"
    assert session.timed == [["a", "b", "c", "fp32"], ["a", "fp32"], ["b", "c", "fp32"]]
    assert became(found)["fp32"].startswith("2.5 times as slow")


def test_a_baseline_that_fails_later_leaves_no_comparison(race):
    found, _ = race({"fp32": 2.0, "int8": 1.0}, fails={"fp32": 1})
    assert run(found) == "int8"
    assert found.baseline() is None
    assert "speedup" not in found.racers[1].quantities


def test_a_reference_that_does_not_answer_ends_it(race):
    found, session = race({"fp32": 2.0, "int8": 1.0}, fails={"fp32": "score"})
    with pytest.raises(StageError, match=r"fp32, which the others are compared with, was killed"):
        run(found)
    assert session.timed == []


def test_a_quality_that_cannot_be_measured_is_no_budget(race):
    found, _ = race({"fp32": 2.0, "int8": 1.0})
    found.budget = Budget("recall_at_1", 0.1)
    with pytest.raises(StageError, match=r"what programs lose of recall_at_1 cannot be told"):
        run(found)


def test_timings_that_should_not_be_believed_are_told(race, monkeypatch):
    found, _ = race({"fp32": 2.0, "int8": 1.0})
    run(found)
    assert list(found.doubts(found.racers)) == []
    for timing in found.racers[1].timings:
        timing.restart.__dict__["drift"] = 9.0
    (doubt,) = found.doubts([*found.racers, None])
    assert doubt.startswith("the timing of int8 is not valid: latency drifted by more than")


def test_where_none_is_left_every_reason_is_told(race):
    found, _ = race({"fp32": 2.0, "int8": 1.0}, fails={"fp32": 0}, wrong={"int8": 50})
    with pytest.raises(StageError) as error:
        run(found)
    said = str(error.value)
    assert "fp32: was killed by SIGABRT while it was timed" in said
    assert "int8: loses 50.0 pt of accuracy" in said
    assert "Allow more with max_drop" in said
