"""Pruning in steps: what goes rises as the paper says, and what is cut out changes nothing."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from edgekd.core.errors import RunInterruptedError, StageError
from edgekd.core.refs import UseModel, UseObjective, UseTask
from edgekd.testing.runs import ExampleRun
from edgekd.testing.tiny import Depthwise, Plain, Residual
from edgekd.train.course import Course
from edgekd.train.gradual import Gradual
from edgekd.train.lesson import Lesson
from edgekd.train.loop import train
from edgekd.train.optim import Train
from edgekd.train.pruning import Pruning
from edgekd.train.terms import Terms
from edgekd.train.views import Views
from edgekd.transforms.masks import zeros

TASK = UseTask.model_validate(
    {"kind": "image_classification", "data": "digits", "train_examples": 128}
).build()
VIT = {"model_type": "vit", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
       "intermediate_size": 32, "patch_size": 4}  # fmt: skip
HALF = {"kind": "channels", "ratio": 0.5, "round_to": 1, "importance": "norm"}


def vit():
    use = UseModel.model_validate({"kind": "pretrained", "config": VIT})
    return use.build()(TASK.signature())


NETS = {"plain": Plain, "residual": Residual, "depthwise": Depthwise, "vit": vit}


def options(steps=4, until=0.5, examples=64, **use):
    return Gradual.model_validate(
        {"transform": use, "steps": steps, "until": until, "examples": examples}
    )


def made(net):
    torch.manual_seed(0)
    return NETS[net]()


def lesson(folder, prune, net="plain", name="example", stops=lambda: False, **given):
    return Lesson(
        ExampleRun(folder, TASK, name=name, stops=stops),
        made(net),
        {},
        Terms([UseObjective.model_validate("cross_entropy")]),
        Train.model_validate({"epochs": 4, "batch_size": 32, "learning_rate": 0.01} | given),
        Views(0),
        prune=prune,
    )


def once(use, net, folder):
    """Return what a transform leaves of a network at once."""
    taken = Pruning(options(steps=1, **use), ExampleRun(folder, TASK), made(net), 1)
    taken.go_on(0)
    return taken.cut_out()


def shapes(model):
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def test_what_is_gone_rises_as_the_paper_says_and_never_comes_back(tmp_path, monkeypatch):
    course = Course(lesson(tmp_path, options(kind="magnitude", ratio=0.8, steps=5)))
    student, seen = course.lesson.student, []
    assert course.pruning.at == [2, 3, 5, 6, 8]  # of 16 batches half, in five steps
    for _ in range(12):
        course.prune()
        gone = zeros(student)
        seen.append(gone)
        before = [p == 0 for p in student.parameters() if p.ndim > 1]
        with torch.no_grad():
            for parameter in student.parameters():
                parameter.add_(torch.rand_like(parameter))
        course.hold()
        after = [p == 0 for p in student.parameters() if p.ndim > 1]
        assert all((a | ~b).all() for a, b in zip(after, before, strict=True))
        course.standing.batch += 1
    slow = [0.8 + (0 - 0.8) * (1 - t / 5) ** 3 for t in (0, 0, 1, 2, 2, 3, 4, 4, 5, 5, 5, 5)]
    assert seen == pytest.approx(slow, abs=1e-3)


def test_a_layer_that_is_spared_learns_though_it_begins_at_zero(tmp_path):
    student = made("plain")
    nn.init.zeros_(student.head.weight)
    use = {"kind": "magnitude", "ratio": 0.5, "exclude": ("head",)}
    pruning = Pruning(options(**use), ExampleRun(tmp_path, TASK), student, 8)
    pruning.go_on(pruning.at[-1])
    assert zeros(pruning.student) > 0
    assert "head.weight" not in pruning.zeros


def test_n_of_m_goes_by_whole_weights_of_a_group(tmp_path):
    pruning = Pruning(
        options(kind="n_m", n=1, m=4, steps=4), ExampleRun(tmp_path, TASK), made("plain"), 8
    )
    left = []
    for batches in pruning.at:
        pruning.go_on(batches)
        groups = pruning.student.head.weight.view(10, -1, 4)
        left.append((groups != 0).sum(-1).unique().tolist())
    assert left == [[2], [1], [1], [1]]  # 3 * 0.58, 0.88, 0.98 and 1 of them go, rounded


@pytest.mark.parametrize(
    ("net", "scope"),
    [("residual", "layer"), ("depthwise", "global"), ("vit", "layer")],
)
def test_what_is_left_when_zeros_are_cut_out_says_the_same_and_is_as_narrow_as_at_once(
    net, scope, tmp_path
):
    kind = "encoder" if net == "vit" else "channels"
    use = {"kind": kind, "ratio": 0.5, "round_to": 1, "scope": scope}
    taught = lesson(tmp_path, options(**use, steps=2), net, epochs=2)
    trained = train(taught)
    student, narrow = taught.student.eval(), trained.pruning.cut_out()
    assert shapes(narrow) != shapes(student)
    if scope == "layer":
        assert shapes(narrow) == shapes(once(use, net, tmp_path))
    batch = next(TASK.batches("validation", 64, device=torch.device("cpu")))
    said = narrow(batch["image"])
    torch.testing.assert_close(said, student(batch["image"]), rtol=1e-4, atol=1e-5)


def test_a_budget_is_kept_in_the_end(tmp_path):
    dense = Pruning(options(**HALF), ExampleRun(tmp_path, TASK), made("residual"), 8)
    budget = dense.facts(made("residual"))["macs"] // 2
    use = {"kind": "channels", "scope": "global", "round_to": 1, "macs": budget}
    taught = lesson(tmp_path, options(**use, steps=2), "residual", epochs=2)
    pruning = train(taught).pruning
    assert 0.8 * budget < pruning.facts(pruning.cut_out())["macs"] <= budget


def test_channels_that_are_zero_go_first_at_the_next_step(tmp_path):
    most = options(**HALF | {"ratio": 0.75}, steps=2)
    pruning = Pruning(most, ExampleRun(tmp_path, TASK), made("residual"), 8)
    pruning.go_on(pruning.at[0])
    first = {name: {*gone} for name, gone in pruning.removal.items()}
    with torch.no_grad():  # what is left looks no better than what went
        for parameter in pruning.student.parameters():
            parameter.zero_()
    pruning.go_on(pruning.at[1])
    assert first
    assert all(first[name] < {*gone} for name, gone in pruning.removal.items())


WAYS = {
    "masks": {"kind": "magnitude", "ratio": 0.8},
    "channels": {"kind": "channels", "ratio": 0.5, "round_to": 1, "importance": "taylor"},
}


def left(folder, way, name, stops=lambda: False):
    """Return all that a training comes to, but for what it took."""
    taught = lesson(folder, options(**WAYS[way], steps=3), name=name, stops=stops, ema=0.5)
    trained = train(taught)
    sparse = trained.pruning.cut_out()
    return trained.history, trained.pruning.facts(sparse), sparse.state_dict()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return what trainings that nothing interrupts come to: they prune before 4, 6 and 9."""
    return {way: left(tmp_path_factory.mktemp(way), way, "whole") for way in WAYS}


@pytest.mark.parametrize(("way", "after"), [("masks", 3), ("channels", 3), ("channels", 4)])
def test_an_interrupted_training_prunes_to_the_same_bytes(way, after, whole, tmp_path):
    asked = iter([False] * (after - 1) + [True])
    with pytest.raises(RunInterruptedError, match=f"after step {after} of 16"):
        left(tmp_path, way, "broken", lambda: next(asked))
    history, facts, state = left(tmp_path, way, "broken")
    assert (history, facts) == whole[way][:2]
    assert facts["before_batch"] == [4, 6, 9]
    assert all(torch.equal(tensor, whole[way][2][name]) for name, tensor in state.items())


def test_only_epochs_after_the_last_step_can_be_the_best_and_patience_waits_for_them(
    tmp_path, monkeypatch
):
    scores = iter([0.9, 0.8, 0.5, 0.6, 0.4, 0.3])
    monkeypatch.setattr(
        "edgekd.train.loop.evaluate", lambda *_: type("Q", (), {"value": next(scores)})
    )
    prune = options(kind="magnitude", ratio=0.8, until=0.4, steps=2)
    taught = lesson(tmp_path, prune, epochs=6, patience=1)
    trained = train(taught)
    history = trained.history
    assert [entry["pruned"] for entry in history["epochs"]] == pytest.approx([0, 0.875, 1, 1, 1])
    assert history["best_epoch"] == 4
    assert zeros(taught.student) == pytest.approx(0.8, abs=1e-3)


def test_the_average_is_as_sparse_as_the_student(tmp_path):
    taught = lesson(tmp_path, options(kind="magnitude", ratio=0.8), ema=0.9)
    train(taught)
    assert zeros(taught.student) == pytest.approx(0.8, abs=1e-3)


class Normed(nn.Module):
    """Normalises over the channels, zeros and all."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 16), nn.LayerNorm(16), nn.Linear(16, 10)
        )

    def forward(self, image):
        return self.body(image)


def test_zeros_that_still_count_are_told_before_the_first_step(tmp_path):
    taught = replace(lesson(tmp_path, options(**HALF)), student=Normed())
    with pytest.raises(StageError, match="'logits' changes when what is zero is cut out") as caught:
        train(taught)
    assert "exclude" in caught.value.next_step


def test_without_it_nothing_is_different(tmp_path):
    def left(name, prune):
        taught = lesson(tmp_path, prune, name=name)
        history = train(taught).history
        return history, taught.student.state_dict()

    late = options(kind="n_m", n=15, m=16, steps=1, until=0.99, examples=8)
    (plain, _), (pruned, _) = left("plain", None), left("pruned", late)
    for entry in pruned["epochs"]:
        entry.pop("pruned")
    assert plain["epochs"][:3] == pruned["epochs"][:3]
