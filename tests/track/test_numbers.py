"""Nested values as curves and as texts."""

from edgekd.core.quantity import Quantity
from edgekd.track.numbers import of_epoch, of_facts, texts


def test_an_epoch_has_a_name_for_each_number():
    entry = {"epoch": 3, "learning_rate": 0.1, "loss": 2.0, "terms": {"kd": 1.5, "lost": None},
             "validation": {"accuracy": 0.5}}  # fmt: skip
    assert of_epoch(entry) == {
        "epoch/loss": 2.0, "epoch/learning_rate": 0.1, "epoch/terms/kd": 1.5,
        "epoch/validation/accuracy": 0.5,
    }  # fmt: skip


def test_facts_that_are_numbers_become_curves_and_others_do_not():
    facts = {
        "result": Quantity(0.5, "share", 0.4, 0.6).as_dict(), "says": "good", "kept": True,
        "macs": 7, "lost": float("nan"), "shares": {"data": 0.25}, "list": [1], "unknown": None,
    }  # fmt: skip
    assert of_facts(facts) == {
        "facts/result": 0.5, "facts/result/low": 0.4, "facts/result/high": 0.6, "facts/macs": 7.0,
        "facts/shares/data": 0.25,
    }  # fmt: skip


def test_every_leaf_is_a_text_under_its_path():
    options = {"train": {"epochs": 3, "ema": None}, "objective": [{"kind": "kd"}], "ok": True,
               "result": Quantity(0.5, "share").as_dict(), "empty": []}  # fmt: skip
    assert texts(options) == {
        "train.epochs": "3", "train.ema": "null", "objective[0].kind": "kd", "ok": "true",
        "result": "50.0 %",
    }  # fmt: skip
