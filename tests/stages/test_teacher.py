"""The teacher: its weights are its own, or it is trained."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from edgekd.core import kinds
from edgekd.core.errors import StageError
from edgekd.core.needs import ALONE
from edgekd.core.refs import UseModel
from edgekd.core.signature import Port, Signature
from edgekd.models.folder import load_model
from edgekd.stages import teacher as stage
from edgekd.stages.teacher import check, teacher

MODEL = {"kind": "depthwise", "width": 8, "blocks": (1,)}
VIT = {
    "model_type": "vit",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "patch_size": 4,
}


class Preview:
    """A pipeline with the digits."""

    def __init__(self, task):
        self.task, self.targets, self.hands = task, {}, ALONE

    def task_of(self, ref):
        return self.task

    def model(self, ref):
        return None

    def runtime(self, ref):
        return None

    def kind(self, ref):
        return None

    def makes(self, ref):
        return "model"

    def options(self, ref):
        return None

    def transform(self, ref):
        return None


def options(**given):
    return kinds.stage.get("teacher").config.model_validate({"model": MODEL, **given})


def problems(task, **given):
    return [f"{p.path} {p.message} {p.next_step}" for p in check(options(**given), Preview(task))]


def signature(task, classes=10):
    return Signature(task.signature().inputs, (Port("logits", "float32", ("batch", classes)),))


@pytest.fixture
def weights(digits_task, tmp_path):
    """Return a function that writes the weights of a model of other widths or classes."""

    def write(classes=10, width=8):
        torch.manual_seed(1)
        use = UseModel.model_validate(MODEL | {"width": width})
        file = tmp_path / f"{classes}-{width}.safetensors"
        save_file(use.build()(signature(digits_task, classes)).state_dict(), file)
        return str(file)

    return write


def test_weights_by_chance_are_asked_for_by_name_and_go_with_no_others(digits_task):
    (problem,) = problems(digits_task)
    assert "neither weights nor train" in problem
    assert problems(digits_task, untrained=True) == []
    (problem,) = problems(digits_task, untrained=True, train={"epochs": 1})
    assert problem.startswith("untrained an untrained teacher has neither weights nor train.")


def test_a_loss_is_asked_for_where_something_is_learned_from_it(digits_task, folder):
    given, unknown = folder(), ("embedding_cosine",)  # an embedding and a teacher: neither is here
    assert not problems(digits_task, model=given)
    for taught in ({"objective": unknown}, {"objective": unknown, "train": {"epochs": 1}}):
        said = problems(digits_task, model=given, **taught)
        assert all("'embedding_cosine' asks for" in one for one in said)
        assert len(said) == 2


def test_given_weights_are_taken_as_they_are(bench, weights):
    file = weights()
    assert problems(bench.task, weights=file) == []
    run = bench.run("teacher")
    teacher(options(weights=file), run)
    state = load_model(run.out).module.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in load_file(file).items())


def test_a_given_model_that_is_not_scored_is_the_same_model(bench, weights, monkeypatch):
    file, found = weights(), []
    for name, score in (("scored", True), ("plain", False)):
        run = bench.run(name)
        facts = teacher(options(weights=file, score=score), run)
        found.append((facts, (run.out / "model.safetensors").read_bytes()))
        monkeypatch.setattr(stage, "evaluate", None)  # what is not scored does not call it
    (scored, one), (plain, other) = found
    assert one == other
    assert {"result", "measure", "test"} <= scored.keys()
    assert plain == {
        "says": scored["says"],
        "parameters": scored["parameters"],
        "result": "not scored",
    }


def test_a_model_that_is_trained_is_scored(digits_task):
    (problem,) = problems(digits_task, train={"epochs": 1}, score=False)
    assert problem.startswith("score a model that is trained is scored")


@pytest.mark.parametrize(
    ("other", "words"),
    [({"classes": 5}, "'head.weight' is [5, 8], not [10, 8]"), ({"width": 12}, "'stem.0.weight'")],
)
def test_weights_of_another_model_are_refused_before_and_when_it_runs(bench, weights, other, words):
    file = weights(**other)
    (problem,) = problems(bench.task, weights=file)
    assert problem.startswith("weights ")
    assert words in problem
    with pytest.raises(StageError) as caught:
        teacher(options(weights=file), bench.run("teacher"))
    assert words in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"junk", b"\xff" * 100])
def test_a_file_that_is_none_is_refused(digits_task, tmp_path, content):
    file = tmp_path / "w.safetensors"
    file.write_bytes(content)
    (problem,) = problems(digits_task, weights=str(file))
    assert "cannot be read" in problem


@pytest.fixture
def folder(digits_task, tmp_path):
    """Return a function that saves a transformers classifier."""

    def save(classes=10):
        torch.manual_seed(1)
        use = UseModel.model_validate({"kind": "pretrained", "config": VIT})
        use.build()(signature(digits_task, classes)).network.save_pretrained(tmp_path / "vit")
        return {"kind": "pretrained", "folder": str(tmp_path / "vit")}

    return save


@pytest.mark.parametrize("model", [MODEL, {"kind": "pretrained", "config": VIT}])
def test_a_teacher_by_chance_is_refused(digits_task, model):
    (problem,) = problems(digits_task, model=model)
    assert "neither weights nor train" in problem
    assert problems(digits_task, model=model, train={"epochs": 1}) == []


def test_a_folder_with_all_weights_needs_no_training_and_is_not_needed_again(bench, folder):
    model = folder()
    assert problems(bench.task, model=model) == []
    run = bench.run("teacher")
    teacher(options(model=model), run)
    (bench.folder / "vit").rename(bench.folder / "moved")
    image = torch.rand(2, 1, 8, 8)
    moved = UseModel.model_validate(model | {"folder": str(bench.folder / "moved")})
    expected = moved.build()(bench.task.signature()).eval()(image)
    assert torch.equal(load_model(run.out).module(image), expected)


def test_a_folder_of_other_classes_must_be_trained(bench, folder):
    model = folder(classes=4)
    (problem,) = problems(bench.task, model=model)
    assert "4 classes and the task 10" in problem
    assert problems(bench.task, model=model, train={"epochs": 1}) == []


def test_a_folder_without_a_head_is_found_when_it_loads(bench, folder):
    model = folder()
    file = bench.folder / "vit" / "model.safetensors"
    body = {n: t for n, t in load_file(file).items() if not n.startswith("classifier")}
    save_file(body, file, {"format": "pt"})
    with pytest.raises(StageError, match=r"no weights for classifier\.bias, classifier\.weight"):
        teacher(options(model=model), bench.run("teacher"))
