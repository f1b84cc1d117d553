"""What stages are expected to need."""

import pytest
import torch

from edgekd.core import kinds
from edgekd.core.needs import ALONE, EXPORTERS_BYTES, LIBRARIES_BYTES, Hands
from edgekd.core.refs import Ref, UseModel, UseTask, UseTransform, as_read
from edgekd.train.needs import (
    compression_needs,
    data_bytes,
    example_bytes,
    measurement_needs,
    state_bytes,
    training_needs,
    unbuilt,
)
from edgekd.train.optim import Train

TASK = UseTask.model_validate({"kind": "image_classification", "data": "digits"}).build()
BASE = LIBRARIES_BYTES + data_bytes(TASK)
LOWER = ("examples",)


def use(width):
    return UseModel.model_validate({"kind": "depthwise", "width": width, "blocks": (1,)})


SMALL = use(8)


class Preview:
    """A pipeline in which every reference leads to one model, quantized in one way or not."""

    task, targets = TASK, {}

    def __init__(self, model=SMALL, transform=None, hands=ALONE):
        self.use, self.using, self.hands = model, transform, hands

    def task_of(self, ref):
        return self.task

    def model(self, ref):
        return self.use

    def runtime(self, ref):
        return None

    def kind(self, ref):
        return "quantize" if self.using else None

    def makes(self, ref):
        return "model"

    def options(self, ref):
        return None

    def transform(self, ref):
        return self.using


def estimate(kind, preview, **options):
    plugin = kinds.stage.get(kind)
    return plugin.traits["estimate"](plugin.config.model_validate(as_read(options)), preview)


def test_a_model_that_is_not_known_needs_nothing_that_could_be_told():
    assert unbuilt(None, Preview()) is None
    assert unbuilt(Ref("x", ("model",)), Preview(model=None)) is None
    assert compression_needs(None, TASK, copies=1, examples=1, lower=LOWER) is None
    assert training_needs(None, [], TASK, Train()) is None


def test_nothing_is_allocated():
    model = unbuilt(use(64), Preview())
    assert {tensor.device.type for tensor in model.state_dict().values()} == {"meta"}


def test_the_weights_are_those_of_the_file():
    model = SMALL.build()(TASK.signature())
    exact = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    assert state_bytes(unbuilt(SMALL, Preview())) == exact
    assert example_bytes(TASK.signature(), 10) == 10 * 8 * 8 * 4


def test_a_training_needs_more_with_each_thing_that_it_says_can_be_lowered():
    few, more = (
        training_needs(unbuilt(SMALL, Preview()), [], TASK, Train(batch_size=n))
        for n in (600, 1000)
    )
    wide = training_needs(unbuilt(use(64), Preview()), [], TASK, Train(batch_size=600))
    assert BASE < few.memory_bytes < min(more.memory_bytes, wide.memory_bytes)
    assert few.device_bytes == few.memory_bytes - BASE
    assert few.disk_bytes == more.disk_bytes < wide.disk_bytes
    assert few.lower[0] == "train.batch_size"


def test_each_of_several_processes_takes_its_part_of_the_batch_and_all_the_rest():
    model = unbuilt(SMALL, Preview())
    alone = training_needs(model, [], TASK, Train(batch_size=600))
    half = training_needs(model, [], TASK, Train(batch_size=300))
    two = training_needs(model, [], TASK, Train(batch_size=600), Hands(everywhere=2, here=2))
    far = training_needs(model, [], TASK, Train(batch_size=600), Hands(everywhere=2, here=1))
    assert two.memory_bytes == 2 * half.memory_bytes > alone.memory_bytes
    assert two.device_bytes == half.device_bytes < alone.device_bytes
    assert far.memory_bytes == half.memory_bytes
    assert two.disk_bytes == alone.disk_bytes


def test_each_process_that_keeps_outputs_needs_memory():
    one = estimate("outputs", Preview(), model="$a")
    three = estimate("outputs", Preview(hands=Hands(3, 3)), model="$a")
    assert three.memory_bytes == 3 * one.memory_bytes
    assert three.disk_bytes == one.disk_bytes


def test_no_batch_is_larger_than_the_split():
    whole, larger = (
        training_needs(unbuilt(SMALL, Preview()), [], TASK, Train(batch_size=n))
        for n in (TASK.size("train"), 10**9)
    )
    assert whole == larger


def test_what_a_change_of_the_model_holds_is_counted():
    model, base = unbuilt(SMALL, Preview()), BASE + EXPORTERS_BYTES
    one, copied, fed, gradient, all_kept = (
        compression_needs(model, TASK, copies=c, examples=n, keeps=k, lower=LOWER)
        for c, n, k in (
            (1, 600, "nothing"), (3, 600, "nothing"), (1, 9000, "nothing"),
            (1, 600, "batch"), (1, 6000, "everything"),
        )
    )  # fmt: skip
    assert base < one.memory_bytes
    assert copied.memory_bytes - one.memory_bytes == 2 * state_bytes(model)
    assert fed.memory_bytes - one.memory_bytes == 2 * example_bytes(TASK.signature(), 8400)
    assert gradient.memory_bytes >= one.memory_bytes
    assert all_kept.memory_bytes > fed.memory_bytes - example_bytes(TASK.signature(), 8400)
    assert one.disk_bytes > state_bytes(model) + example_bytes(TASK.signature(), 600)


def test_a_model_that_cannot_be_followed_is_not_guessed_at():
    class Odd(torch.nn.Module):
        def forward(self, image):
            return image if image.sum() > 0 else -image

    assert compression_needs(Odd(), TASK, copies=1, examples=8, lower=LOWER) is None


def test_measuring_writes_down_the_examples():
    test = TASK.size("test")
    found = measurement_needs([None, unbuilt(SMALL, Preview())], TASK, "test")
    assert found.disk_bytes >= example_bytes(TASK.signature(), test)
    assert found.memory_bytes > BASE + EXPORTERS_BYTES


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("teacher", {"model": "depthwise", "train": {}}),
        ("teacher", {"model": "depthwise"}),
        ("distill", {"model": "$a", "teacher": "$b", "objective": ["kd"]}),
        ("prune", {"model": "$a", "transform": {"kind": "channels", "ratio": 0.3}}),
        ("quantize", {"model": "$a", "transform": "int8_static"}),
        ("export", {"model": "$a", "runtime": "onnxruntime"}),
        ("validate", {"programs": ["$a"], "reference": "$b"}),
        ("report", {"of": ["$a"]}),
    ],
)
def test_every_stage_tells_what_it_needs_and_what_to_lower(kind, options):
    needs = estimate(kind, Preview(), **options)
    assert LIBRARIES_BYTES < needs.memory_bytes < 2 * 2**30
    assert 2**16 <= needs.disk_bytes < 2**27
    assert needs.lower or kind == "report"


def test_gradients_and_histograms_count_where_they_are_asked_for():
    def pruning(importance):
        transform = {"kind": "channels", "ratio": 0.3, "importance": importance}
        return estimate("prune", Preview(), model="$a", transform=transform)

    def exporting(calibration):
        how = {"kind": "int8_static", "calibration": calibration, "examples": 8000}
        preview = Preview(transform=UseTransform.model_validate(how))
        return estimate("export", preview, model="$a", runtime="onnxruntime")

    assert pruning("taylor").memory_bytes > pruning("norm").memory_bytes
    assert exporting("entropy").memory_bytes > exporting("minmax").memory_bytes
