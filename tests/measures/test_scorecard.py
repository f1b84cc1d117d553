import torch

from edgekd.core import kinds
from edgekd.core.signals import EVIDENCE, SIGNALS
from edgekd.measures.scorecard import measure_all


def test_a_measure_without_its_evidence_is_left_out() -> None:
    assert measure_all({}) == {}
    found = measure_all({"student_logits": torch.eye(3), "labels": torch.arange(3)})
    assert set(found) == {"accuracy", "ece"}


def test_every_mean_carries_an_interval_that_holds_it() -> None:
    torch.manual_seed(0)
    evidence = {f"{whose}_logits": torch.randn(60, 4) for whose in ("student", "teacher")}
    found = measure_all(evidence | {"labels": torch.randint(4, (60,))})
    likeness = {"accuracy_drop", "agreement", "cka", "negative_flips"}
    assert set(found) == {"accuracy", "ece"} | likeness
    for quantity in found.values():
        assert quantity.low is not None
        assert quantity.high is not None
        assert quantity.low <= quantity.value <= quantity.high
        assert quantity.n == 60


def test_measures_ask_only_for_what_the_vocabulary_names() -> None:
    for plugin in kinds.measure:
        assert set(plugin.needs) <= {*SIGNALS, *EVIDENCE}, plugin.name
        assert {"unit", "better", "bounds"} <= set(plugin.traits), plugin.name
