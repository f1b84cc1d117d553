"""What a teacher says, kept: the same as asking it, asked once, and found again after a kill."""

import json

import pytest
import torch
from torch.testing import assert_close

from edgekd.core import kinds
from edgekd.core.errors import RunInterruptedError, StageError
from edgekd.core.refs import UseAugment
from edgekd.core.seeds import sub_seed
from edgekd.models.folder import load_model
from edgekd.testing.runs import ExampleRun
from edgekd.train.teaching import Kept, Online
from edgekd.train.views import view_of

CPU = torch.device("cpu")
SHIFT = {"kind": "crop", "padding": 1}


def keep(bench, name="kept", stops=lambda: False, **options):
    """Run the stage on the small trained network and return its facts and its run."""
    plugin = kinds.stage.get("outputs")
    run = ExampleRun(bench.folder, bench.task, name=name, stops=stops)
    config = plugin.config.model_validate({"model": "$student"} | options)
    return plugin.build(config)(run), run


def files(run):
    return {file.name: file.read_bytes() for file in run.out.iterdir()}


def online(bench, taps=()):
    stored = load_model(bench.folder / "student")
    return Online(stored.module, stored.signature, taps, bench.task, CPU)


def test_what_was_kept_is_what_the_teacher_says_of_the_same_views(bench):
    augment = (SHIFT, "flip")
    _, run = keep(bench, views=2, augment=augment, taps=("pool",))
    kept, asked = Kept(run.out, CPU), online(bench, ("pool",))
    changes = [UseAugment.model_validate(use).build() for use in augment]
    rng = torch.Generator().manual_seed(5)
    for view in (0, 1, 3):
        for batch in bench.task.batches("train", 100, device=CPU, rng=rng):
            seen = view_of(batch, changes, sub_seed(0, "augment"), view % 2)
            now, then = asked(seen, view), kept(batch, view)
            exact, rounded = (one.outputs["logits"] for one in (now, then))
            assert_close(rounded, exact, rtol=0, atol=1e-2)  # half a step of float16 at 30
            assert_close(rounded.softmax(-1), exact.softmax(-1), rtol=0, atol=1e-3)
            assert_close(then.features["pool"], now.features["pool"], rtol=2e-3, atol=2e-3)


def test_of_many_classes_the_likeliest_are_kept_and_what_that_costs_is_told(bench):
    facts, run = keep(bench, top=3)
    assert facts["says"].startswith("1,078 examples, 3 of 10 classes, off by ")
    batch = next(bench.task.batches("train", 200, device=CPU))
    exact = online(bench)(batch, 0).outputs["logits"].softmax(-1)
    found = Kept(run.out, CPU)(batch, 0).outputs["logits"].softmax(-1)
    best = exact.topk(3).indices
    assert_close(found.gather(1, best), exact.gather(1, best), rtol=0, atol=2e-3)
    lost = facts["error_nats"]["temperature 1"]
    logits = torch.cat([
        online(bench)(b, 0).outputs["logits"]
        for b in bench.task.batches("train", 256, device=CPU)
    ])[:1024]  # fmt: skip
    true = logits.softmax(-1)
    found = true.clone()
    left_out = torch.ones_like(true).scatter(1, true.topk(3).indices, 0).bool()
    found[left_out] = ((true * left_out).sum(1, keepdim=True) / 7).expand_as(true)[left_out]
    apart = (true * (true / found).log()).sum(1)
    assert_close(lost["mean"], apart.mean().item(), rtol=0.02, atol=1e-4)
    assert_close(lost["largest"], apart.max().item(), rtol=0.02, atol=1e-3)
    assert facts["error_nats"]["temperature 4"]["mean"] > lost["mean"]


def test_an_interrupted_pass_goes_on_and_leaves_the_same_bytes(bench):
    options = {"views": 2, "augment": (SHIFT,), "top": 4}
    told, run = keep(bench, "whole", **options)
    whole = files(run)
    asked = iter([False] * 4 + [True])
    with pytest.raises(RunInterruptedError, match=r"was asked about 1,078 of 2,156"):
        keep(bench, "broken", lambda: next(asked), **options)
    left = sorted((bench.folder / "broken.unfinished").iterdir())
    assert left
    before = [file.stat().st_mtime_ns for file in left]
    facts, run = keep(bench, "broken", **options)
    assert facts == told
    assert files(run) == whole
    taken = [run.out / file.name for file in left]
    assert [file.stat().st_mtime_ns for file in taken] == before


@pytest.mark.parametrize(("top", "read"), [(None, [4, 0, 1, 2, 3, 4]), (4, [0, 1, 2, 3, 4] * 2)])
def test_what_was_kept_is_not_read_again(bench, top, read, monkeypatch):
    asked = iter([False] * 3 + [True])
    with pytest.raises(RunInterruptedError):
        keep(bench, "broken", lambda: next(asked), views=2, augment=(SHIFT,), top=top)
    numbers = []
    batches = type(bench.task).batches

    def noted(self, split, size, *, start=0, **options):
        for number, batch in enumerate(batches(self, split, size, start=start, **options), start):
            numbers.append(number)
            yield batch

    monkeypatch.setattr(type(bench.task), "batches", noted)
    keep(bench, "broken", views=2, augment=(SHIFT,), top=top)
    assert numbers[-len(read) :] == read, numbers


def test_its_size_is_what_was_promised(bench):
    facts, run = keep(bench)
    assert facts["says"] == "1,078 examples"
    rows = 1078 * 24  # ten log-probabilities in 16 bits, their log-sum-exp in 32
    written = sum(file.stat().st_size for file in run.out.iterdir())
    assert rows < facts["size_bytes"] == written < rows + 4096


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"augment": ()}, r"changed in another way.*(?s:.*)train\.augment"),
        ({"examples": 7}, r"of 1,078 examples, the task has 7"),
        ({"taps": ("head",)}, r"nothing was kept of the teacher's module 'head'.*(?s:.*)taps"),
    ],
)
def test_outputs_of_something_else_are_refused(bench, changes, words):
    _, run = keep(bench, augment=(SHIFT,))
    given = {"augment": (UseAugment.model_validate(SHIFT),), "examples": 1078, "taps": ()}
    with pytest.raises(StageError, match=words):
        Kept(run.out, CPU).check(**given | changes)
    Kept(run.out, CPU).check(**given)


def test_a_teacher_that_is_too_sure_for_sixteen_bits_is_kept_in_full(bench):
    model = load_model(bench.folder / "student")
    with torch.no_grad():
        model.module.head.weight.mul_(1e6)
    from edgekd.models.folder import save_model

    (bench.folder / "sure").mkdir()
    save_model(bench.folder / "sure", model)
    _, run = keep(bench, model="$sure")
    batch = next(bench.task.batches("train", 50, device=CPU))
    exact = Online(model.module, model.signature, (), bench.task, CPU)(batch, 0).outputs["logits"]
    found = Kept(run.out, CPU)(batch, 0).outputs["logits"]
    assert exact.abs().max() > 65504
    assert found.isfinite().all()
    assert_close(found, exact, rtol=1e-4, atol=1.0)


def test_it_says_what_it_is_of(bench):
    _, run = keep(bench, views=2, augment=(SHIFT,), top=2)
    about = json.loads((run.out / "outputs.json").read_text())
    assert (about["examples"], about["views"], about["top"], about["classes"]) == (1078, 2, 2, 10)
    assert about["seed"] == sub_seed(0, "augment")
    assert about["augment"] == [{"kind": "crop", "padding": 1, "fill": "edge"}]
