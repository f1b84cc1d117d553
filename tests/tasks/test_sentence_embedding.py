"""Embeddings of texts: pairs that a source gives, or halves; training texts; what travels."""

import json

import numpy as np
import pytest
import torch

from edgekd.core.errors import RequestError
from edgekd.core.refs import UseTask
from edgekd.tasks.paired_texts import load
from edgekd.testing.conformance import EVERY_TASK

DUMP = "".join(
    f"Package: thing{i}\nDescription: A thing of kind {i} with parts\nSection: libs\n\n"
    for i in range(60)
)
CPU = torch.device("cpu")


class Source:
    """One that gives what it is told."""

    labels, shapes = (), {"text": ()}

    def __init__(self, **columns):
        self.columns = {name: np.array(column) for name, column in columns.items()}

    def files(self):
        return ()

    def load(self, _split):
        return self.columns


@pytest.fixture
def build(put):
    place = put(**{"packages.txt": DUMP})
    lines = [json.dumps({"text": f"{n} sheep went over the green hill"}) for n in range(40)]
    put(**{"texts.jsonl": "\n".join([*lines, json.dumps({"text": "too short"})]) + "\n"})

    def made(kind="package_names", **more):
        data = {"kind": kind, "file": str(place / "packages.txt")}
        if kind == "text_file":
            data = {"kind": kind, "train": str(place / "texts.jsonl"), "label": None}
        return UseTask.model_validate(
            {"kind": "sentence_embedding", "data": data, "max_length": 12} | more
        ).build()

    return made


def batch_of(task, split):
    (batch,) = task.batches(split, 1000, device=CPU)
    return batch


@pytest.mark.parametrize("promise", EVERY_TASK, ids=lambda p: p.__name__)
def test_it_keeps_the_promises_of_tasks(build, promise):
    promise(build())


@pytest.mark.parametrize("kind", ["package_names", "text_file"])
def test_half_of_what_is_scored_asks_for_the_other_half(build, kind):
    task = build(kind)
    assert not task.audit()
    for split in ("validation", "test"):
        batch = batch_of(task, split)
        asks = batch["answers"] >= 0
        assert asks.sum() * 2 == len(asks) == task.size(split)
        assert not asks[batch["answers"][asks]].any()
        assert batch["input_ids"].shape == (len(asks), 12)


def test_training_texts_are_whole_and_ask_for_nothing(build):
    task = build("text_file")
    batch = batch_of(task, "train")
    assert {*batch} == {"input_ids", "attention_mask", "ids"}
    test = batch_of(task, "test")
    longest = [int(b["attention_mask"].sum(1).max()) for b in (batch, test)]
    assert longest[0] > longest[1]


def test_a_text_is_cut_in_the_middle_and_a_short_one_left_out():
    found = load(Source(text=["one two three four five", "too short"]), "test")
    assert found.text == ["one two", "three four five"]
    assert found.answers.tolist() == [1, -1]


def test_texts_that_are_all_too_short_are_refused():
    with pytest.raises(RequestError, match="no text of 4 words or more"):
        load(Source(text=["too short"]), "validation")


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ([-1, -1, -1], "no text asks"),
        ([1, 0, -1], r"2 \(ids 0, 1\) have an answer that asks itself"),
        ([3, -1, -1], r"1 \(ids 0\) have an answer"),
        ([1, -1], "columns of different lengths: text 3, answers 2"),
    ],
)
def test_pairs_that_lead_nowhere_are_refused(answers, says):
    with pytest.raises(RequestError, match=says):
        load(Source(text=["a", "b", "c"], answers=answers), "test")


def test_fewer_training_texts_are_drawn_and_the_rest_is_scored_as_before(build):
    whole, some = build(), build(train_examples=10)
    assert (some.size("train"), some.size("test")) == (10, whole.size("test"))
    assert some.expected_size("train") == 10
    (problem,) = build(train_examples=1000).check()
    assert "1000 asks for more than the 96 there are" in problem.message


def test_what_cannot_be_counted_before_it_is_cut_is_not_told(build):
    assert build("text_file").expected_size("test") is None
    assert build().expected_size("test") == build().size("test")


def test_the_tokenizer_travels_and_the_width_is_as_asked_for(build):
    task = build(dimensions=24)
    assert task.signature().outputs[0].shape == ("batch", 24)
    assert {*task.companions()} == {"tokenizer.json"}
    assert task.facts()["preprocessing"]["max_length"] == 12
