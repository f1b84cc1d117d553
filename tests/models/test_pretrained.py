"""Image classifiers of transformers, tiny and saved here."""

import json
from types import SimpleNamespace

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from edgekd.core.errors import StageError
from edgekd.core.refs import UseModel
from edgekd.core.signature import Port, Signature
from edgekd.models.folder import StoredModel, load_model, save_model
from edgekd.models.pretrained import check

VIT = {
    "model_type": "vit",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "patch_size": 4,
}
NAMES = ("nil", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
RESNET = {
    "model_type": "resnet",
    "embedding_size": 8,
    "hidden_sizes": (8, 16),
    "depths": (1, 1),
    "layer_type": "basic",
}


def signature(channels=1, size=8, classes=10):
    return Signature(
        (Port("image", "float32", ("batch", channels, size, size)),),
        (Port("logits", "float32", ("batch", classes)),),
    )


def use(**options):
    return UseModel.model_validate({"kind": "pretrained", **options})


def build(sig=None, **options):
    torch.manual_seed(0)
    return use(**options).build()(sig or signature()).eval()


@pytest.fixture
def folder(tmp_path):
    build(config=VIT).network.save_pretrained(tmp_path / "vit")
    return tmp_path / "vit"


@pytest.mark.parametrize("config", [VIT, RESNET], ids=["vit", "resnet"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_configuration_becomes_a_network_for_the_signatures_images_and_classes(config, channels):
    network = build(signature(channels, 8, 7), config=config)
    assert network(torch.rand(3, channels, 8, 8)).shape == (3, 7)


@pytest.mark.parametrize("config", [VIT, RESNET], ids=["vit", "resnet"])
def test_an_export_takes_any_batch_and_answers_alike(config):
    network = build(config=config)
    batch = {0: torch.export.Dim("batch", min=1, max=64)}
    program = torch.export.export(network, (torch.rand(2, 1, 8, 8),), dynamic_shapes=(batch,))
    image = torch.rand(5, 1, 8, 8)
    torch.testing.assert_close(program.module()(image), network(image), atol=1e-5, rtol=1e-5)


def test_a_folder_gives_the_weights_that_were_saved(folder):
    saved, again = build(config=VIT), build(folder=str(folder))
    image = torch.rand(3, 1, 8, 8)
    assert torch.equal(again(image), saved(image))


def test_other_classes_get_a_new_head_on_the_same_body(folder):
    saved, other = build(config=VIT), build(signature(classes=4), folder=str(folder))
    assert other(torch.rand(2, 1, 8, 8)).shape == (2, 4)
    body, again = saved.network.vit.state_dict(), other.network.vit.state_dict()
    assert all(torch.equal(body[name], again[name]) for name in body)


def test_a_model_in_our_own_folder_comes_back_with_its_weights(folder, tmp_path):
    network, chosen = build(config=RESNET), use(config=RESNET)
    out = tmp_path / "ours"
    out.mkdir()
    save_model(out, StoredModel(network, chosen, signature(), {}))
    image = torch.rand(2, 1, 8, 8)
    assert torch.equal(load_model(out).module(image), network(image))


def test_an_outline_has_no_weights_and_loads_none(folder):
    for options in ({"config": VIT}, {"folder": str(folder)}):
        with torch.device("meta"):
            outline = build(**options)
        assert {p.device.type for p in outline.parameters()} == {"meta"}


@pytest.mark.parametrize(("channels", "size"), [(3, 8), (1, 12)])
def test_images_that_the_folders_model_does_not_take_are_refused(folder, channels, size):
    with pytest.raises(ValueError, match=f"does not take {channels}x{size}x{size} images"):
        build(signature(channels, size), folder=str(folder))


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"model_type": "vitt"}, "no model_type is 'vitt'. Did you mean 'vit'"),
        ({"hidden_size": 16}, "no model_type is ''"),
        ({"model_type": "bert"}, "no image classifier of type 'bert'"),
        (VIT | {"hiden_size": 16}, "'hiden_size' is no option of vit. Did you mean 'hidden_size'"),
    ],
)
def test_a_configuration_that_transformers_does_not_know_is_refused(config, says):
    with pytest.raises(ValueError, match=says):
        build(config=config)


@pytest.mark.parametrize("options", [{}, {"folder": ".", "config": VIT}])
def test_it_wants_a_folder_or_a_configuration(options, folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(ValidationError, match="give either folder or config"):
        use(**options)


def test_a_folder_without_a_description_is_refused(tmp_path):
    with pytest.raises(ValidationError, match=r"no config\.json in"):
        use(folder=str(tmp_path))


def test_pickled_weights_are_refused(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ValidationError, match="pickled weights are refused"):
        use(folder=str(folder))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"model_type": "vitt"}'])
def test_a_description_that_cannot_be_read_is_refused(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json cannot be read"):
        build(folder=str(folder))


def test_code_in_a_folder_is_not_run(folder):
    described = json.loads((folder / "config.json").read_text())
    described["auto_map"] = {"AutoModelForImageClassification": "evil.Model"}
    (folder / "config.json").write_text(json.dumps(described))
    (folder / "evil.py").write_text("raise SystemExit('code of the folder was run')")
    assert build(folder=str(folder))(torch.rand(1, 1, 8, 8)).shape == (1, 10)


def test_it_comes_back_without_the_folder_that_it_was_taken_from(folder, tmp_path):
    network, out = build(folder=str(folder)), tmp_path / "ours"
    out.mkdir()
    save_model(out, StoredModel(network, use(folder=str(folder)), signature(), {}))
    folder.rename(tmp_path / "moved")
    again, image = load_model(out), torch.rand(2, 1, 8, 8)
    assert torch.equal(again.module(image), network(image))
    assert str(folder) not in (out / "model.json").read_text()
    assert again.use.options.config["hidden_size"] == 16


def test_a_folder_without_weights_of_the_body_is_refused(folder):
    file = folder / "model.safetensors"
    state = load_file(file)
    kept = {n: t for n, t in state.items() if "layernorm" not in n.lower()}
    assert len(kept) < len(state)
    save_file(kept, file, {"format": "pt"})
    with pytest.raises(StageError, match=r"no fitting weights for 'vit\."):
        build(folder=str(folder))


class Task:
    """Ten classes of grey pictures."""

    quality = ("accuracy",)

    def __init__(self, labels=NAMES, **options):
        self.options = SimpleNamespace(**{"mean": None, "std": None} | options)
        self.labels = labels

    def signature(self):
        return signature(classes=len(self.labels))

    def facts(self):
        return {"labels": self.labels, "preprocessing": {"mean": [0.3], "std": [0.4]}}

    def files(self):
        return ()

    def size(self, split):
        return 0

    def batches(self, split, batch_size, *, device, rng=None, part=(0, 1), start=0):
        yield from ()


def told(folder, task=None, *, taught=False):
    options = use(folder=str(folder)).options
    return [f"{p.message} {p.next_step}" for p in check(options, task or Task(), taught=taught)]


def name_classes(folder, names):
    described = json.loads((folder / "config.json").read_text())
    described["id2label"] = {str(index): name for index, name in enumerate(names)}
    described["label2id"] = {name: index for index, name in enumerate(names)}
    (folder / "config.json").write_text(json.dumps(described))


def test_classes_nobody_named_and_the_tasks_own_are_taken(folder):
    assert told(folder) == []
    name_classes(folder, [name.upper() for name in NAMES])
    assert told(folder) == []


@pytest.mark.parametrize("taught", [True, False])
def test_classes_in_another_order_are_refused(folder, taught):
    name_classes(folder, NAMES[::-1])
    (problem,) = told(folder, taught=taught)
    assert "in another order" in problem
    assert ", ".join(NAMES) in problem
    assert ", ".join(NAMES[::-1]) in problem


def test_other_classes_are_refused_unless_they_are_taught(folder):
    name_classes(folder, ["cat", *NAMES[1:]])
    (problem,) = told(folder)
    assert "cat" in problem
    assert NAMES[0] in problem
    assert told(folder, taught=True) == []


@pytest.mark.parametrize(
    ("given", "mean", "std"),
    [
        ({"image_mean": [0.5], "image_std": [0.25]}, "[0.5]", "[0.25]"),
        ({"image_mean": [0.5], "image_std": [0.25], "do_normalize": False}, "[0]", "[1]"),
        ({"image_mean": [51], "image_std": 51, "do_rescale": False}, "[0.2]", "[0.2]"),
        ({"image_mean": [1], "image_std": [1], "rescale_factor": 2 / 255}, "[0.5]", "[0.5]"),
    ],
)
def test_another_view_of_pictures_is_told_with_what_to_write(folder, given, mean, std):
    (folder / "preprocessor_config.json").write_text(json.dumps(given))
    (problem,) = told(folder)
    assert f"--set 'task.mean={mean}' --set 'task.std={std}'" in problem
    assert told(folder, Task(mean=(0.1,), std=(0.1,))) == []


@pytest.mark.parametrize(
    "given", [{"image_mean": [0.3], "image_std": [0.4]}, {"image_mean": [0.5] * 3}]
)
def test_the_same_view_and_one_of_other_pictures_say_nothing(folder, given):
    (folder / "preprocessor_config.json").write_text(json.dumps(given | {"image_std": [0.4]}))
    assert told(folder) == []


@pytest.mark.parametrize("text", ["{", "[]", '{"image_mean": ["x"]}'])
def test_a_view_that_cannot_be_read_is_told(folder, text):
    (folder / "preprocessor_config.json").write_text(text)
    (problem,) = told(folder)
    assert "cannot be read" in problem


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, None], ids=["empty", "noise", "cut short"])
def test_weights_that_cannot_be_read_are_named_by_the_plan_and_by_the_stage(folder, content):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-4] if content is None else content)
    (problem,) = told(folder)
    assert f"{file} cannot be read" in problem
    with pytest.raises(StageError, match="cannot be read"):
        build(folder=str(folder))


def test_weights_that_do_not_say_whose_they_are_are_refused(folder):
    file = folder / "model.safetensors"
    save_file(load_file(file), file, {"by": "somebody"})
    with pytest.raises(StageError, match="metadata"):
        build(folder=str(folder))
