"""Pictures as a task."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgekd.core.config import Config
from edgekd.core.errors import RequestError
from edgekd.core.kinds import source
from edgekd.core.refs import UseTask

CPU = torch.device("cpu")


class Made(Config):
    """A source for these tests: pictures by chance with one thing wrong with them, or nothing."""

    wrong: str = ""
    colors: int = 3


@source(config=Made, name="made")
class MadeSource:
    labels: Sequence[str] = ("a", "b", "c")

    def __init__(self, options: Made):
        self.options = options
        self.shapes: Mapping[str, tuple[int, ...]] = {"image": (6, 8, options.colors), "label": ()}

    def files(self) -> Sequence[Path]:
        return ()

    def load(self, split):
        rng = np.random.default_rng(len(split))
        image = rng.integers(0, 256, (30, *self.shapes["image"]), np.uint8)
        label = np.arange(30) % 3
        match self.options.wrong:
            case "label":
                label[3] = 3
            case "empty":
                image, label = image[:0], label[:0]
            case "absent":
                label[label == 1] = 2
            case "floats":
                image = image.astype(np.float32)
            case "flat":
                image[:] = 7
            case "lengths":
                label = label[:-1]
        return {"image": image, "label": label}


def build(data="made", **options):
    data = {"kind": data} if isinstance(data, str) else data
    return UseTask.model_validate({"kind": "image_classification", "data": data, **options}).build()


def all_of(task, split="train", batch_size=7, rng=None):
    batches = list(task.batches(split, batch_size, device=CPU, rng=rng))
    return {name: torch.cat([b[name] for b in batches]) for name in batches[0]}


def test_the_signature_is_known_before_anything_is_loaded(monkeypatch):
    monkeypatch.setattr(MadeSource, "load", None)
    signature = build().signature()
    (image,), (logits,) = signature.inputs, signature.outputs
    assert (image.name, image.dtype, image.shape) == ("image", "float32", ("batch", 3, 6, 8))
    assert (logits.name, logits.dtype, logits.shape) == ("logits", "float32", ("batch", 3))


def test_the_facts_turn_a_decoded_picture_into_the_models_input():
    task = build()
    facts = task.facts()
    rules = facts["preprocessing"]
    raw = MadeSource(Made()).load("test")["image"]
    scaled = raw.astype(np.float64) * rules["scale"]
    expected = ((scaled - rules["mean"]) / rules["std"]).transpose(0, 3, 1, 2)
    assert facts["labels"] == ["a", "b", "c"]
    assert (rules["layout"], rules["color"], rules["size"]) == ("NCHW", "RGB", [6, 8])
    np.testing.assert_allclose(all_of(task, "test")["image"], expected, atol=1e-5)


def test_the_training_pictures_are_normalised_to_mean_0_and_deviation_1():
    image = all_of(build())["image"].double()
    assert image.mean((0, 2, 3)).abs().max() < 1e-5
    assert (image.std((0, 2, 3), unbiased=False) - 1).abs().max() < 1e-5


def test_given_numbers_are_used_and_counted():
    task = build(data={"kind": "made", "colors": 1}, mean=(0.5,), std=(0.5,))
    assert task.facts()["preprocessing"]["mean"] == [0.5]
    assert task.facts()["preprocessing"]["color"] == "L"
    assert all_of(task)["image"].abs().max() <= 1
    with pytest.raises(RequestError, match="mean has 1 and std 3 values for 3 channels"):
        build(mean=(0.5,)).facts()


@given(batch_size=st.integers(1, 40), seed=st.none() | st.integers(0, 2**16))
def test_one_pass_gives_every_example_once_with_its_own_label(batch_size, seed):
    task = build()
    rng = None if seed is None else torch.Generator().manual_seed(seed)
    batches = list(task.batches("train", batch_size, device=CPU, rng=rng))
    assert {len(b["ids"]) for b in batches[:-1]} <= {batch_size}
    ids = torch.cat([b["ids"] for b in batches])
    assert sorted(ids.tolist()) == list(range(task.size("train")))
    plain = all_of(task)
    for batch in batches:
        assert torch.equal(batch["labels"], plain["labels"][batch["ids"]])
        assert torch.equal(batch["image"], plain["image"][batch["ids"]])


def test_the_order_is_the_splits_own_without_chance_and_the_seeds_with_it():
    task = build()
    assert torch.equal(all_of(task)["ids"], torch.arange(30))
    first, again, other = (
        all_of(task, rng=torch.Generator().manual_seed(seed))["ids"] for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_size_stretches_every_picture_and_is_told():
    task = build(data="digits", size=12)
    assert task.facts()["preprocessing"]["size"] == [12, 12]
    assert all_of(task, "test", 100)["image"].shape[1:] == (1, 12, 12)
    assert task.signature().inputs[0].shape[2:] == (12, 12)


def test_stretching_by_a_whole_number_keeps_the_mean_of_flat_pictures():
    flat = all_of(
        build(data={"kind": "made", "wrong": "flat"}, size=3, mean=(0.0,) * 3, std=(1.0,) * 3)
    )
    assert (flat["image"] - 7 / 255).abs().max() < 1e-6


def test_fewer_examples_to_learn_from_are_among_more_and_leave_the_other_splits_alone():
    few, more = (build(train_examples=n) for n in (12, 24))
    assert (few.size("train"), few.size("test")) == (12, 30)
    options = {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    few, more = (all_of(build(train_examples=n, **options))["image"] for n in (12, 24))
    assert torch.equal(few, more[:12])
    other = all_of(build(train_examples=12, train_seed=1, **options))["image"]
    assert not torch.equal(few, other)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("label", "labels from 0 to 3, but there are 3 classes"),
        ("empty", "train is empty"),
        ("absent", "no training picture shows b"),
        ("floats", "images float32"),
        ("flat", "all of one colour"),
        ("lengths", r"labels \(29,\)"),
    ],
)
def test_data_that_cannot_be_learnt_from_is_refused(wrong, says):
    with pytest.raises(RequestError, match=says) as error:
        build(data={"kind": "made", "wrong": wrong}).facts()
    assert error.value.problems[0].path == "task.data"


def test_one_class_is_none(monkeypatch):
    monkeypatch.setattr(MadeSource, "labels", ("a",))
    with pytest.raises(RequestError, match="at least two"):
        build().facts()


def test_more_training_examples_than_there_are_cannot_be_asked_for():
    with pytest.raises(RequestError, match="train_examples: 31 asks for more than the 30"):
        build(train_examples=31).size("train")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_sees_the_same_batches():
    task = build()
    on_gpu = list(task.batches("train", 7, device=torch.device("cuda")))
    assert {b[name].device.type for b in on_gpu for name in b} == {"cuda"}
    found = torch.cat([b["image"].cpu() for b in on_gpu])
    assert torch.allclose(found, all_of(task)["image"], atol=1e-6)


def messages(task):
    return [problem.message for problem in task.check()]


@pytest.mark.parametrize(
    ("count", "says"),
    [(9, "9 training pictures cannot show all 10 classes."),
     (1079, "1079 asks for more than the 1078 there are."), (1078, None)],
)  # fmt: skip
def test_how_many_to_learn_from_is_checked_before_a_picture_is_read(count, says, monkeypatch):
    task = build(data="digits", train_examples=count)
    monkeypatch.setattr(type(task.source), "load", None)
    assert messages(task) == ([says] if says else [])


def test_the_data_takes_the_bytes_that_were_expected_once_here_and_once_in_its_source():
    task = build(data="digits", size=12)
    read = [task._pictures(split) for split in ("train", "validation", "test")]
    taken = sum(c.nbytes for p in read for c in (p.shelf.image, p.shelf.label))
    assert task.expected_bytes() == 2 * taken
    assert build().expected_bytes() is None


@pytest.mark.parametrize("wrong", ["label", "empty", "absent", "floats", "flat", "lengths"])
def test_an_audit_tells_the_faults_of_every_split_once(wrong):
    with pytest.raises(RequestError) as error:
        build(data={"kind": "made", "wrong": wrong}).audit()
    told = [problem.message for problem in error.value.problems]
    assert len(told) == (1 if wrong in ("absent", "flat") else 3)
    assert len(set(told)) == len(told)


def test_an_audit_of_sound_data_says_nothing():
    assert build().audit() == []
    assert build(data="digits").audit() == []


def test_duplicates_are_told_refused_or_allowed(monkeypatch):
    load = MadeSource.load
    monkeypatch.setattr(MadeSource, "load", lambda self, _: load(self, "train"))
    assert len(build().audit()) == 3
    assert build(duplicates="allow").audit() == []
    with pytest.raises(RequestError, match="say notice to go on nevertheless") as error:
        build(duplicates="refuse").audit()
    assert len(error.value.problems) == 3


def test_an_audit_looks_at_the_chosen_training_pictures_only(monkeypatch):
    load = MadeSource.load

    def leaky(self, split):
        columns = load(self, split)
        if split == "test":
            columns["image"][0] = load(self, "train")["image"][7]
        return columns

    monkeypatch.setattr(MadeSource, "load", leaky)
    assert len(build().audit()) == 1
    chosen = build(train_examples=15)._pictures("train").row.tolist()
    assert len(build(train_examples=15).audit()) == (7 in chosen)
