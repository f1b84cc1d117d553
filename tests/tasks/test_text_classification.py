"""The task of texts, from a table to batches."""

import hashlib
import json

import pytest
import torch

from edgekd.core.errors import RequestError
from edgekd.core.refs import UseTask
from edgekd.core.seeds import sub_seed
from edgekd.tasks.tokenizer import Tokenizer

CPU = torch.device("cpu")
ROWS = [
    (f"{'buy the pills' if i % 2 else 'see the patch'} number {i}", "spam" if i % 2 else "ham")
    for i in range(60)
]


def table(rows):
    return "".join(json.dumps({"text": t, "label": label}) + "\n" for t, label in rows)


@pytest.fixture
def build(put):
    def make(rows=ROWS, test=None, **options):
        folder = put(**{"a.jsonl": table(rows), "b.jsonl": table(test or [])})
        data = {"kind": "text_file", "train": str(folder / "a.jsonl")}
        data |= {"test": str(folder / "b.jsonl")} if test else {}
        options = {"tokenizer": {"entries": 1000}, "max_length": 12} | options
        return UseTask.model_validate(
            {"kind": "text_classification", "data": data, **options}
        ).build()

    return make


def only(task, split="train", size=100, **options):
    (batch,) = task.batches(split, size, device=CPU, **options)
    return batch


def test_a_batch_has_what_the_signature_says(build):
    task = build()
    batch, signature = only(task), task.signature()
    for port in signature.inputs:
        assert tuple(batch[port.name].shape) == port.concrete(**signature.sizes(task.size("train")))
        assert batch[port.name].dtype == torch.int64
        assert batch[port.name].max() < port.values
    assert signature.outputs[0].shape == ("batch", 2)
    assert batch["labels"].tolist() == [1 if "buy" in text else 0 for text in texts(task)]


def texts(task, split="train"):
    return task.source.load(split)["text"].tolist()


def test_the_rows_are_the_tokenizers_of_the_training_texts(build):
    task = build()
    expected, length = Tokenizer.train(task.options.tokenizer, texts(task), 12).rows(
        texts(task, "test")
    )
    batch = only(task, "test")
    assert batch["input_ids"].tolist() == expected.tolist()
    assert batch["attention_mask"].sum(1).tolist() == length.tolist()
    assert (batch["attention_mask"].diff(dim=1) <= 0).all()


def test_a_shuffled_pass_has_every_text_once(build):
    task = build()
    rng = torch.Generator().manual_seed(0)
    batches = list(task.batches("train", 7, device=CPU, rng=rng))
    ids = torch.cat([b["ids"] for b in batches])
    assert ids.tolist() != sorted(ids.tolist()) == list(range(48))
    rows = torch.cat([b["input_ids"] for b in batches])
    assert torch.equal(rows[ids.argsort()], only(task)["input_ids"])


def test_fewer_texts_are_always_among_more(build):
    ten, twenty = (build(train_examples=n, train_seed=3) for n in (10, 20))
    chosen = [{*task._texts("train").text} for task in (ten, twenty)]
    assert chosen[0] < chosen[1]
    assert (ten.size("train"), ten.expected_size("train")) == (10, 10)
    rng = torch.Generator().manual_seed(sub_seed(3, "train_examples"))
    first = int(torch.randperm(48, generator=rng)[0])
    assert ten._texts("train").text[0] == texts(ten)[first]


def test_facts_and_companions_agree(build):
    task = build()
    (name,) = task.companions()
    about = task.facts()["preprocessing"]["tokenizer"]
    assert name == about["file"]
    assert hashlib.sha256(task.companions()[name]).hexdigest() == about["sha256"]
    json.dumps(task.facts())


def test_a_given_tokenizer_is_taken_as_it_is(build, tmp_path):
    trained = build()
    (tmp_path / "tokenizer.json").write_bytes(trained.companions()["tokenizer.json"])
    given = build(tokenizer={"file": str(tmp_path)})
    assert torch.equal(only(given)["input_ids"], only(trained)["input_ids"])
    assert tmp_path / "tokenizer.json" in given.files()
    assert (
        given.signature().inputs[0].values
        == trained.facts()["preprocessing"]["tokenizer"]["entries"]
    )


def test_a_text_in_two_splits_is_told_with_its_place(build):
    task = build(test=[ROWS[4], ("quite another", "spam"), (ROWS[5][0], "ham")])
    (found,) = task.audit()
    assert "of 3 test texts are in" in found
    assert "b.jsonl:1 is a.jsonl:5" in found
    assert "b.jsonl:3 (ham) is a.jsonl:6 (spam)" in found


def test_a_text_under_two_labels_is_told(build):
    torn = [("same", "ham"), ("same", "spam")] * 10
    found = build([*ROWS, *torn], test=[("x", "ham"), ("y", "spam")]).audit()
    assert any("1 train texts stand there under different labels" in told for told in found)


def test_sound_data_gives_no_notice_and_duplicates_may_be_refused_or_allowed(build):
    test = [ROWS[4], ("quite another", "spam")]
    assert build().audit() == []
    assert build(test=test, duplicates="allow").audit() == []
    with pytest.raises(RequestError, match="refuse asks for this"):
        build(test=test, duplicates="refuse").audit()


def test_labels_that_are_of_no_use_are_all_refused(build):
    with pytest.raises(
        RequestError, match="test shows one class only: all of its 2 texts are 'ham'"
    ):
        build(test=[("x", "ham"), ("y", "ham")]).audit()
    with pytest.raises(RequestError, match="1 classes"):
        build([(text, "ham") for text, _ in ROWS]).audit()
    with pytest.raises(RequestError, match="no training text shows spam"):
        build(
            [("x", "spam"), *[(f"text {i}", "ham") for i in range(200)]], train_examples=5
        ).audit()


def test_what_can_be_told_is_told_before_a_text_is_tokenized(build):
    (problem,) = build(train_examples=1).check()
    assert "1 training texts cannot show all 2 classes" in problem.message
    (problem,) = build([("", "ham"), *ROWS]).check()
    assert "has no text in" in problem.message


def test_a_source_of_pictures_is_refused():
    task = UseTask.model_validate({"kind": "text_classification", "data": "digits"}).build()
    with pytest.raises(RequestError, match="train has no column text; it has image, label"):
        task.audit()


def test_memory_is_told_before_anything_is_read(build):
    assert build().expected_bytes() == 60 * 12 * 4
    assert build().expected_size("test") == 6
