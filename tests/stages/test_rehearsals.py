"""What each kind of stage is asked in a rehearsal: nothing that untrained weights decide."""

from typing import Any

import pytest

from edgekd.core import kinds
from edgekd.core.quantity import Quantity
from edgekd.core.refs import as_read, as_written
from edgekd.core.results import Measurement, Measurements
from edgekd.testing.runs import ExampleRun

CPU = {"description": "here", "transport": {"kind": "local"}, "runtimes": ("onnxruntime",)}
MODEL = {"kind": "depthwise", "width": 4}
TRAIN = {"epochs": 7, "patience": 2, "batch_size": 16}
WRITTEN: dict[str, dict[str, Any]] = {
    "teacher": {"model": MODEL, "train": TRAIN},
    "distill": {"model": MODEL, "objective": ["cross_entropy"], "train": TRAIN},
    "outputs": {"model": "$teacher"},
    "quantize": {"model": "$a", "transform": "int8_static", "budget": {"accuracy_drop": 0.01}},
    "export": {"model": "$a", "runtime": "onnxruntime", "parity": {"samples": 8}},
    "choose": {"model": "$a", "max_drop": 0.001, "bench": {"restarts": 7}},
    "keep": {"model": "$a", "before": "$b", "max_drop": 0.001, "parity": {"samples": 8}},
    "validate": {
        "programs": ["$a"],
        "reference": "$b",
        "bench": {"min_s": 9.0, "memory_mib": 64},
        "gates": {"agreement": ">= 0.9", "latency_p90_ms": {"cpu": "<= 1"}, "speedup": ">= 2"},
    },
}


@pytest.fixture
def way(tmp_path, digits_task):
    """Return a function from a kind and changes to how that stage is rehearsed."""
    run = ExampleRun(tmp_path, digits_task, targets={"cpu": CPU})

    def rehearse(kind, **changes):
        plugin = kinds.stage.get(kind)
        config = plugin.config.model_validate(as_read(WRITTEN[kind] | changes))
        return plugin.traits["rehearse"](config, run)

    return rehearse


@pytest.mark.parametrize("kind", WRITTEN)
def test_what_is_asked_is_something_that_a_file_could_ask(way, kind):
    options = way(kind).options
    written = as_read(as_written(options))
    assert kinds.stage.get(kind).config.model_validate(written) == options


@pytest.mark.parametrize("kind", ["teacher", "distill"])
def test_a_training_is_one_epoch_that_moves_nothing(way, kind):
    found = way(kind)
    train = found.options.train
    assert (found.epochs, train.epochs, train.patience, train.batch_size) == (7, 1, None, 16)
    assert train.learning_rate < 1e-9


def test_a_teacher_that_is_not_trained_is_taken_as_it_is(way):
    found = way("teacher", train=None, untrained=True)
    assert (found.epochs, found.options.untrained) == (0, True)


def test_outputs_grow_with_the_examples(way):
    assert way("outputs").grows


def test_no_budget_of_quality_decides(way):
    quantize = way("quantize").options
    assert quantize.budget is None
    assert quantize.sensitivity is not None, "the layers are ranked as they would be"
    assert way("quantize", budget=None).options.sensitivity is None
    for kind in ("choose", "keep"):
        assert way(kind).options.max_drop >= 1e9
        assert way(kind).options.parity.agreement == 0
    assert way("choose").options.bench.restarts == 7, "it is chosen as it would be"
    parity = way("export").options.parity
    assert (parity.agreement, parity.accuracy_drop, parity.samples) == (0, 1, 8)
    assert parity.atol == 1e-4, "fp32 computes the same whatever the weights"


def test_gates_of_cost_alone_are_judged_in_mode_quick(way):
    asked = way("validate").options
    assert asked.gates == {"latency_p90_ms": {"cpu": "<= 1"}, "speedup": ">= 2"}
    assert asked.bench.mode == "quick"
    assert (asked.bench.min_s, asked.bench.memory_mib) == (None, 64)
    quick = {"mode": "quick", "min_s": 0.01}
    assert way("validate", bench=quick).options.bench.min_s == 0.01, "that is quick already"


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({"bench": {"mode": "quick"}}, 400 * 0.1),
        # 5 x (10 runs of 0.1 s, then 50) for 3 x (10 runs, then 25)
        ({"bench": {"mode": "standard"}}, 400 * 0.1 + 5 * (1 + 5) - 3 * (1 + 2.5)),
        ({"bench": {"mode": "quick", "sustained_s": 60.0}}, 400 * 0.1),
        ({"bench": {"sustained_s": 60.0}}, 60 + 400 * 0.1 + 5 * (1 + 5) - 3 * (1 + 2.5)),
    ],
)
def test_measuring_as_the_file_asks_takes_longer(way, tmp_path, changes, seconds):
    quantities = {"latency_p50_ms": Quantity(100.0, "ms")}
    about = {"restarts": [], "samples": "", "valid": True, "notes": []}
    timed = Measurement(program="a", target="cpu", quantities=quantities, **about)
    lost = Measurement(program="b", target="cpu", quantities={}, **about)
    found = way("validate", **changes)
    document = Measurements(
        reference="b", split="test", examples=100, targets=[], programs=[], quality=[], gates=[],
        measurements=[timed, lost],
    )  # fmt: skip
    (tmp_path / "example").mkdir(exist_ok=True)
    (tmp_path / "example" / "measurements.json").write_text(document.model_dump_json())
    hidden = {"train": 9, "validation": 9, "test": 400}
    assert found.beyond(hidden) == pytest.approx(seconds)
