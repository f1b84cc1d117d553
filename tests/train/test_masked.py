"""Some patches alone: what is hidden changes nothing, the same for all, and what is refused."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from edgekd.core import kinds
from edgekd.core.errors import StageError
from edgekd.core.needs import ALONE
from edgekd.core.refs import UseModel, UseObjective, UseTask
from edgekd.models.folder import StoredModel, load_model, save_model
from edgekd.testing.runs import ExampleRun
from edgekd.train.masked import seeing
from edgekd.train.taps import tapped
from edgekd.train.teaching import Online

CPU = torch.device("cpu")
TASK = UseTask.model_validate(
    {"kind": "image_classification", "data": "digits", "train_examples": 80}
).build()
VIT = {"kind": "vit", "width": 8, "depth": 4, "heads": 2, "patch": 4}
SMALL = VIT | {"width": 4, "depth": 2}
MASK = {"kind": "patch_mask", "patch": 4, "ratio": 0.5}
REBUILD = {"kind": "masked_reconstruction", "width": 8, "depth": 1, "heads": 2,
           "tap": {"student": "norm"}}  # fmt: skip
ALIGN = {"kind": "dmae", "tap": {"student": "blocks.0", "teacher": "blocks.1"}}
TRAIN = {"epochs": 2, "batch_size": 40, "augment": (MASK,)}
PLAN = {"model": SMALL, "teacher": "$teacher", "objective": (REBUILD, ALIGN), "train": TRAIN}


def network(use=VIT):
    torch.manual_seed(0)
    return UseModel.model_validate(use).build()(TASK.signature())


def batch_of(count=5):
    order = torch.rand(count, 4, generator=torch.Generator().manual_seed(0)).argsort(1)
    images = next(TASK.batches("train", count, device=CPU))["image"]
    return {"image": images, "visible": order[:, :2], "hidden": order[:, 2:]}


def tokens_of(model, batch, tap="norm"):
    with torch.no_grad(), seeing(model, batch), tapped(model, [tap]) as seen:
        model(batch["image"])
    return seen[tap]


def test_hidden_pixels_change_no_token_and_visible_ones_do():
    model, batch = network().eval(), batch_of()
    found = tokens_of(model, batch)
    assert found.shape == (5, 3, 8)
    for name, same in (("hidden", True), ("visible", False)):
        image = batch["image"].clone()
        for b, patch in enumerate(batch[name][:, 0].tolist()):
            row, column = 4 * (patch // 2), 4 * (patch % 2)
            image[b, :, row : row + 4, column : column + 4] += 3
        assert torch.equal(tokens_of(model, batch | {"image": image}), found) == same


def test_all_patches_shown_are_the_whole_picture_and_no_hook_stays():
    model, batch = network().eval(), batch_of()
    every = batch | {"visible": torch.arange(4).expand(5, -1), "hidden": batch["hidden"][:, :0]}
    plain = tokens_of(model, {"image": batch["image"]})
    torch.testing.assert_close(tokens_of(model, every), plain)
    assert not any(part._forward_hooks for part in model.modules())


def test_a_model_without_these_patches_cannot_be_shown_some():
    for model, has in ((nn.Linear(2, 2), "has none"), (network(VIT | {"patch": 2}), "has 16")):
        with pytest.raises(StageError, match=f"4 patches are told apart, and the model {has}"):
            tokens_of(model, batch_of())


def counted(model):
    """Return how often each block and the head were computed."""
    calls = dict.fromkeys(["patches", *(f"blocks.{i}" for i in range(4)), "norm", "head"], 0)
    for path in calls:

        def count(*_, path=path):
            calls[path] += 1

        model.get_submodule(path).register_forward_hook(count)
    return calls


@pytest.mark.parametrize("answers", [False, True])
def test_a_teacher_of_whom_a_tap_alone_is_asked_stops_behind_it(answers):
    model, batch = network(), batch_of()
    whole = tokens_of(model.eval(), batch, "blocks.1")
    signature = TASK.signature()
    teacher = Online(model, signature, ["blocks.1"], TASK, CPU, answers=answers)
    calls = counted(model)
    said = teacher(batch, 0)
    assert torch.equal(said.features["blocks.1"], whole)
    assert not said.features["blocks.1"].requires_grad
    assert (*calls.values(),) == (1, 1, 1, answers, answers, answers, answers)
    assert [*said.outputs] == ["logits"] * answers


class Twice(nn.Module):
    """Uses a layer twice."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 64)
        self.head = nn.Linear(64, 10)

    def forward(self, image):
        return self.head(self.layer(self.layer(image.flatten(1))))


def test_a_teacher_that_uses_a_layer_twice_does_not_stop_at_its_first_word():
    torch.manual_seed(0)
    teacher = Online(Twice(), TASK.signature(), ["layer"], TASK, CPU, answers=False)
    image = batch_of()["image"]
    layer = teacher.module.layer
    said = teacher({"image": image}, 0).features["layer"]
    torch.testing.assert_close(said, layer(layer(image.flatten(1))))


def test_the_same_network_as_teacher_and_student_has_nothing_to_learn(tmp_path):
    """So both are shown the same patches."""
    _teacher(tmp_path)
    same = {"student": "blocks.1", "teacher": "blocks.1"}
    still = {"epochs": 1, "learning_rate": 1e-12, "weight_decay": 0.0}
    plan = {"model": "$teacher", "objective": (ALIGN | {"projection": "none", "tap": same},)}
    run, _ = _distilled(tmp_path, PLAN | plan | {"train": TRAIN | still})
    assert run.epochs[0]["terms"]["dmae"] == pytest.approx(0, abs=1e-6)


def _teacher(folder):
    use = UseModel.model_validate(VIT)
    (folder / "teacher").mkdir()
    save_model(folder / "teacher", StoredModel(network(), use, TASK.signature(), TASK.facts()))


def _distilled(folder, plan, **more):
    stage = kinds.stage.get("distill")
    run = ExampleRun(folder, TASK, **more)
    return run, stage.build(stage.config.model_validate(plan))(run)


def test_what_is_handed_on_is_the_network_alone_judged_by_the_validation_loss(tmp_path):
    _teacher(tmp_path)
    before = load_model(tmp_path / "teacher").module.state_dict()
    run, facts = _distilled(tmp_path, PLAN)
    assert [*load_model(run.out).module.state_dict()] == [*network(SMALL).state_dict()]
    after = load_model(tmp_path / "teacher").module.state_dict()
    assert all(torch.equal(before[name], value) for name, value in after.items())
    losses = [epoch["validation"]["loss"] for epoch in run.epochs]
    assert losses[1] < losses[0]
    assert facts["validation_loss"] == min(losses)
    assert facts["best_epoch"] == 2
    assert facts["result"].endswith("on validation, not scored")
    assert not {"measure", "test"} & facts.keys()


def test_the_validation_loss_is_of_the_same_view_in_each_epoch(tmp_path):
    _teacher(tmp_path)
    still = TRAIN | {"learning_rate": 1e-12, "weight_decay": 0.0}
    run, _ = _distilled(tmp_path, PLAN | {"train": still})
    first, second = (epoch["validation"]["loss"] for epoch in run.epochs)
    assert first == pytest.approx(second, rel=1e-6)
    assert run.epochs[0]["loss"] != pytest.approx(run.epochs[1]["loss"], rel=1e-4)


def preview(**other):
    given = {"task": TASK, "task_of": lambda ref: TASK, "targets": {}, "hands": ALONE,
             "makes": lambda ref: "model",
             "kind": lambda ref: "teacher", "model": lambda ref: UseModel.model_validate(VIT),
             "options": lambda ref: None, "runtime": lambda ref: None,
             "transform": lambda ref: None}  # fmt: skip
    return SimpleNamespace(**given | other)


def problems(plan, **other):
    stage = kinds.stage.get("distill")
    found = stage.traits["check"](stage.config.model_validate(PLAN | plan), preview(**other))
    return [(p.path, p.message) for p in found]


def test_what_does_not_go_together_is_told_before_anything_runs():
    assert problems({}) == []
    plain = {"model": {"kind": "depthwise", "width": 4}}
    assert ("model", "depthwise has no patches to hide.") in problems(plain)
    finer = problems({"model": SMALL | {"patch": 2}})
    assert finer == [("model", "patch_mask tells 4 patches apart, and vit has 16.")]
    no_mask = problems({"train": {"augment": ()}})
    says = "'masked_reconstruction' asks for visible, which nothing supplies."
    assert ("objective[0]", says) in no_mask
    deep = (REBUILD, ALIGN | {"tap": {"student": "blocks.0", "teacher": "blocks.4"}})
    assert problems({"objective": deep}) == [
        ("objective[1].tap.teacher", "the teacher has no module 'blocks.4'.")
    ]
    twice = TRAIN | {"augment": (MASK, MASK)}
    assert problems({"train": twice}) == [("train.augment", "patch_mask would hide patches anew.")]
    labelled = problems({"train": TRAIN | {"labelled": 10}})
    assert labelled == [("train.labelled", "no term here asks for one.")]
    compiled = TRAIN | {"compile": True}
    alone = {"objective": ("cross_entropy",), "teacher": None, "train": compiled}
    whole = "a compiled student is always shown the whole picture."
    assert problems(alone) == [("train.compile", whole)]


def test_a_program_is_no_teacher_of_some_patches():
    kd = {"objective": ("kd",)}
    found = problems(kd, makes=lambda ref: "program", model=lambda ref: None)
    says = "$teacher is a program, which is always shown the whole picture."
    assert ("teacher", says) in found


def test_a_pre_training_is_compared_with_itself_without_the_teacher():
    stage = kinds.stage.get("distill")
    options = stage.config.model_validate(PLAN)
    controls = stage.traits["controls"](options)
    alone = controls["no_kd"]
    assert [*controls] == ["no_kd"]
    assert (alone.teacher, alone.objective, alone.train) == (
        None, (UseObjective.model_validate(REBUILD),), options.train
    )  # fmt: skip
    assert stage.traits["controls"](alone) == {"no_kd": alone}, "left out: it is the stage itself"


def test_pictures_that_nobody_labelled_are_enough_to_pre_train():
    data = {"kind": "unlabelled_images", "data": "digits", "classes": 10}
    unlabelled = UseTask.model_validate(data).build()
    assert problems({}, task=unlabelled) == []
    path, message = problems({"objective": ("kd",)}, task=unlabelled)[0]
    assert path == "train"
    assert "nothing can be trained here" in message
