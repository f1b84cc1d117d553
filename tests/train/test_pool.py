"""Learning from a pool: what a batch then has, and what is refused."""

import pytest
import torch

from edgekd.core.refs import UseSource, UseTask
from edgekd.pipeline.preview import StagePreview
from edgekd.testing.conformance import EVERY_TASK
from edgekd.testing.runs import ExampleRun
from edgekd.train.excerpt import Excerpt
from edgekd.train.optim import Train
from edgekd.train.pool import check_pool, learning_from, pooled, seeing

CPU = torch.device("cpu")
GIVEN = {"kind": "image_classification", "data": "digits", "train_examples": 60}
TASK = UseTask.model_validate(GIVEN).build()
POOL = UseSource.model_validate({"kind": "digits", "aside": 0.1, "train_on": "aside", "seed": 1})


@pytest.mark.parametrize("promise", EVERY_TASK, ids=lambda p: p.__name__)
def test_it_keeps_the_promises_of_tasks(promise):
    promise(pooled(TASK, POOL))


def test_the_training_split_is_the_pool_without_labels_and_all_else_the_tasks():
    task = pooled(TASK, POOL)
    (batch,) = task.batches("train", 1000, device=CPU)
    assert {*batch} == {"image", "ids"}
    assert task.size("train") == task.expected_size("train") == len(batch["ids"]) == 180
    assert task.columns == ("ids",)
    for split in ("validation", "test"):
        own, given = (next(t.batches(split, 50, device=CPU)) for t in (task, TASK))
        assert all(torch.equal(own[name], given[name]) for name in given)
        assert task.expected_size(split) == TASK.expected_size(split)
    assert task.facts() == TASK.facts()
    assert task.quality == TASK.quality
    assert task.expected_bytes() == TASK.expected_bytes() + 2 * 180 * 64
    assert task.files() == [*TASK.files(), *POOL.build().files()]


def test_its_pictures_are_normalised_as_those_of_the_task():
    image = torch.from_numpy(POOL.build().load("train")["image"]).permute(0, 3, 1, 2) / 255
    facts = TASK.facts()["preprocessing"]
    (batch,) = pooled(TASK, POOL).batches("train", 1000, device=CPU)
    wanted = (image - facts["mean"][0]) / facts["std"][0]
    torch.testing.assert_close(batch["image"], wanted)


def test_some_of_it_alone_can_be_asked_for():
    among = torch.tensor([3, 5])
    (batch,) = pooled(TASK, POOL).batches("train", 1000, device=CPU, among=among)
    assert {*batch["ids"].tolist()} == {3, 5}
    assert len(batch["ids"]) == 180


def test_a_rehearsal_shows_some_of_the_pool_and_counts_its_time():
    few = Excerpt(TASK, {"train": 20, "validation": 5, "test": 5})
    task = pooled(few, POOL)
    batches = [*task.batches("train", 8, device=CPU, rng=torch.Generator())]
    assert sum(len(batch["ids"]) for batch in batches) == task.size("train") == 20
    assert "labels" not in batches[0]
    assert [one.size for one in few.passes] == [180]


def test_without_a_pool_nothing_changes(tmp_path):
    run, preview = ExampleRun(tmp_path, TASK, seed=3), StagePreview({}, TASK, {})
    assert learning_from(None, run) is run
    assert seeing(None, preview) is preview
    assert seeing(POOL, preview).task.size("train") == 180
    own = learning_from(POOL, run)
    assert (own.seed, own.task.size("train")) == (3, 180)
    assert run.task is TASK


def said(pool, task=TASK, **train):
    preview = StagePreview({}, task, {})
    return [(p.path, p.message) for p in check_pool(pool, Train.model_validate(train), preview)]


def test_what_is_no_pool_for_this_task_is_refused(tmp_path):
    assert said(None) == said(POOL) == []
    wrong = "the pool's pictures have {}, and the model takes 8x8x1."
    photos, names = map(UseSource.model_validate, ("sample_photos", "package_names"))
    assert said(photos) == [("pool", wrong.format("224x224x3"))]
    assert said(names)[0] == ("pool", wrong.format("no size"))
    gone = UseSource.model_validate({"kind": "arrays", "root": str(tmp_path)})
    assert "there is no file" in said(gone)[0][1]
    assert said(POOL, augment=("mixup",)) == [
        ("train.augment[0]", "mixup shares out classes; the pool has no labels.")
    ]
    rows = [f"text number {i},{'spam' if i % 2 else 'ham'}" for i in range(40)]
    (tmp_path / "mails.csv").write_text("\n".join(["text,label", *rows]))
    data = {"kind": "text_file", "train": str(tmp_path / "mails.csv")}
    texts = UseTask.model_validate({"kind": "text_classification", "data": data}).build()
    assert "this task gives input_ids and attention_mask" in said(POOL, task=texts)[0][1]


def test_who_cannot_tell_its_size_is_not_asked_for_it():
    source = UseSource.model_validate({"kind": "dirty_pool", "of": "digits"})
    task = pooled(TASK, source)
    assert task.expected_size("train") is None
    assert task.expected_bytes() is None
