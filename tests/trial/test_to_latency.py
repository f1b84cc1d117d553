import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgekd.core.config import Config
from edgekd.core.errors import StageError
from edgekd.core.kinds import runtime
from edgekd.core.results import Restart
from edgekd.core.signature import Port, Signature
from edgekd.devices.answers import Failure, Timing
from edgekd.devices.target import Target
from edgekd.transforms.budget import Latency
from edgekd.trial import in_turns
from edgekd.trial.in_turns import InTurns, median
from edgekd.trial.latency_budget import doubts
from edgekd.trial.to_latency import Search

SIGNATURE = Signature((Port("x", "float32", ("batch", 4)),), (Port("y", "float32", ("batch", 4)),))
EXPORTED = []


@runtime(config=Config, name="timeless")
class Timeless:
    """Writes a model's width; what it takes is made up of it."""

    suffix, runner = ".width", "bench_onnxruntime.py"

    def __init__(self, config):
        pass

    def export(self, model, *, out, **others):
        EXPORTED.append(model.out_features)
        out.write_text(str(model.out_features))
        return {}


class MadeUp:
    """A session on a machine whose speed changes from turn to turn."""

    broken = False
    slower = 0.0
    """By how much each turn is slower than the one before, as other work on the machine grows."""
    turns = 0
    restless = 0.0
    """By how much one program may be slower or faster than the other in a turn."""

    def __init__(self, target, jobs, journal):
        self.jobs, self.journal = {job.name: job for job in jobs}, journal

    def time(self, names, samples, settings, number):
        if self.broken:
            return dict.fromkeys(names, Failure("was killed by SIGSEGV while loading"))
        about = "".join(job.file.read_text() for job in self.jobs.values())
        pace = np.random.default_rng(number).uniform(1, 1.5)
        MadeUp.turns += 1
        pace *= 1 + self.slower * MadeUp.turns
        rng = np.random.default_rng([number, int(about)])
        return {name: self.timed(name, pace, rng) for name in names}

    def timed(self, name, pace, rng):
        width = int(self.jobs[name].file.read_text())
        latencies = pace * (0.2 + 0.8 * width / 1000) * rng.normal(1, 0.03, 200)
        latencies *= rng.uniform(1 - self.restless, 1 + self.restless)
        restart = Restart(
            load_ms=1, first_ms=1, warmup_runs=1, runs=200, wall_s=1, cpu_s=1, peak_rss_mib=1,
            load_average=0, settled=True, drift=0,
        )  # fmt: skip
        return Timing(restart, latencies, False, "1", ())


TARGET = Target.model_validate(
    {"description": "made up", "transport": "local", "runtimes": ("onnxruntime",)}
)


@pytest.fixture(autouse=True)
def made_up(monkeypatch):
    monkeypatch.setattr(in_turns, "Session", MadeUp)
    monkeypatch.setattr(MadeUp, "turns", 0)
    EXPORTED.clear()


def layer(width):
    return nn.Linear(4, width)


def search(folder: Path, p50_ms, *, step=1, most=0.9, warn=lambda message: None, remove=None):
    (folder / "samples").mkdir(exist_ok=True)
    timer = InTurns(
        Latency.model_validate({"p50_ms": p50_ms, "runtime": "timeless"}),
        TARGET,
        signature=SIGNATURE,
        samples={"x": torch.zeros(2, 4)},
        inputs=folder / "samples",
        work=folder,
        warn=warn,
    )
    return Search(
        timer,
        remove=remove or (lambda ratio, held: layer(round(1000 * (1 - ratio) / step) * step)),
        holds=remove is not None,
        most=most,
        tell=lambda done, total, what: None,
    )


def test_a_budget_is_met_closely_whatever_the_machines_pace(tmp_path):
    for share in (0.3, 0.5, 0.8):
        folder = tmp_path / f"{share}"
        folder.mkdir()
        dense = search(folder, 1e-3)  # asks for the pace that all turns come to
        with pytest.raises(StageError):
            dense.search()
        budget = share * median(dense.timer.turns)
        made = search(folder, budget)
        found = made.search()
        truth = 0.2 + 0.8 * found.model.out_features / 1000
        assert 0.93 * share <= truth <= 1.02 * share
        assert 0.95 * budget <= found.p50.value <= budget
        assert found.p50.low <= found.p50.value <= found.p50.high
        assert len(found.candidates) <= 8


def test_the_chosen_candidate_is_timed_once_more_than_the_others(tmp_path):
    found = search(tmp_path, 0.7).search()
    counts = {one["ratio"]: one["restarts"] for one in found.candidates}
    assert counts[found.ratio] == 10
    assert min(counts.values()) == 5


def test_a_candidate_whose_interval_is_wide_and_holds_the_budget_is_timed_again(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(MadeUp, "restless", 0.3)
    found = search(tmp_path, 0.7).search()
    assert max(one["restarts"] for one in found.candidates) > 10


def test_widths_in_coarse_steps_are_each_measured_once_and_the_nearest_below_is_taken(tmp_path):
    found = search(tmp_path, 0.8, step=250, most=0.75).search()
    assert len(EXPORTED) == len(set(EXPORTED))
    assert found.model.out_features == 500


class TwoLayers(nn.Module):
    """A layer that loses half of its channels or none, and one that loses any number."""

    def __init__(self, ratio, held):
        super().__init__()
        own = held.get("coarse", ratio)
        self.coarse = layer(1000 if own < 0.3 else 500)
        self.fine = layer(round(1000 * (1 - held.get("fine", ratio))))

    @property
    def out_features(self):
        return (self.coarse.out_features + self.fine.out_features) // 2


def test_where_one_layer_falls_too_far_another_gives_back(tmp_path):
    asking = search(tmp_path, 1e-3, remove=TwoLayers)
    with pytest.raises(StageError):
        asking.search()
    budget = 0.8 * median(asking.timer.turns)
    found = search(tmp_path, budget, remove=TwoLayers).search()
    assert found.ratios == {"coarse": 0.5}
    assert found.model.coarse.out_features == 500
    assert found.model.fine.out_features > 750
    assert 0.95 <= found.p50.value / budget <= 1


def test_what_holding_a_layer_alone_comes_to_is_no_dense_model_and_its_distance_is_told(tmp_path):
    asking = search(tmp_path, 1e-3, remove=TwoLayers)
    with pytest.raises(StageError):
        asking.search()
    timed = search(tmp_path, 0.86 * median(asking.timer.turns), remove=TwoLayers)
    found = timed.search()
    assert (found.ratio, found.ratios, found.model.out_features) == (0.0, {"coarse": 0.5}, 750)
    assert not found.is_dense
    (doubt,) = doubts(timed.timer.wanted, found)
    assert "is the nearest below" in doubt


def test_a_dense_model_that_is_fast_enough_stays(tmp_path):
    found = search(tmp_path, 5.0).search()
    assert found.is_dense
    assert found.model.out_features == 1000


def test_a_budget_that_cannot_be_reached_says_how_low_it_could_go(tmp_path):
    with pytest.raises(StageError) as caught:
        search(tmp_path, 0.1).search()
    message = str(caught.value)
    assert "cannot reach a p50 of 0.1 ms with timeless on cpu: the dense model takes 1." in message
    assert "the least that these options leave 0.3" in message
    assert "raise max_ratio" in message


def test_what_an_interrupted_search_exported_is_not_exported_again(tmp_path):
    first = search(tmp_path, 0.7).search()
    done = len(EXPORTED)
    again = search(tmp_path, 0.7).search()
    assert len(EXPORTED) == done
    assert json.dumps(again.candidates) == json.dumps(first.candidates)


def test_a_candidate_that_cannot_be_timed_is_an_error_with_its_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(MadeUp, "broken", True)
    with pytest.raises(StageError, match="could not be timed: it was killed by SIGSEGV"):
        search(tmp_path, 0.7).search()


def test_a_machine_whose_pace_changes_much_is_told(tmp_path):
    said = []
    search(tmp_path, 0.7, warn=said.append).search()
    (notice,) = said  # the pace of this made-up machine changes by up to a half
    assert "the dense model took from 1.0" in notice
    assert "Measure on a quiet one" in notice


@pytest.mark.parametrize("slower", [0.003, 0.01])
def test_a_budget_is_kept_also_where_the_machine_becomes_slower_meanwhile(
    tmp_path, monkeypatch, slower
):
    monkeypatch.setattr(MadeUp, "slower", slower)
    for budget in (0.9, 1.0, 1.1):
        monkeypatch.setattr(MadeUp, "turns", 0)
        (tmp_path / f"{budget}").mkdir()
        found = search(tmp_path / f"{budget}", budget, remove=TwoLayers).search()
        assert found.p50.value <= budget
