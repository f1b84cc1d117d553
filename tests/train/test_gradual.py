"""What cannot be pruned in steps is told before the run, with what to do."""

from dataclasses import replace

import pytest

from edgekd.core.kinds import transform
from edgekd.core.refs import UseTask
from edgekd.train.gradual import Gradual, check_gradual
from edgekd.train.optim import Train

TASK = UseTask.model_validate({"kind": "image_classification", "data": "digits"}).build()


@pytest.fixture(scope="module", autouse=True)
def plug_ins(plugged):
    plugged(transform, "test_at_once", lambda options, model, *, signature, batches: model)


def problems(frozen=(), rounds=False, **use):
    options = Gradual.model_validate({"transform": use})
    return [*check_gradual(options, Train(freeze=frozen), None, TASK, rounds=rounds)]


def test_what_can_go_in_steps_is_let_pass():
    assert not problems(kind="channels", ratio=0.5)
    assert not problems(kind="n_m")


@pytest.mark.parametrize(
    ("use", "path", "message"),
    [
        ({"kind": "int8_static"}, "prune.transform", "is for quantize stages"),
        ({"kind": "test_at_once"}, "prune.transform", "does not say what it is for"),
        (
            {"kind": "channels", "latency": {"p50_ms": 1, "runtime": "onnxruntime"}},
            "prune.transform.latency",
            "found by measuring exports",
        ),
        (
            {"kind": "encoder", "ratio": 0.5, "parts": ("layers",)},
            "prune.transform",
            "cannot go in steps: a layer whose weights are zero",
        ),
    ],
)
def test_what_cannot_go_in_steps_is_told_before_the_run(use, path, message):
    (problem,) = problems(**use)
    assert problem.path == path
    assert message in problem.message


def test_a_transform_without_steps_is_told_what_to_do(monkeypatch):
    plugin = transform.get("magnitude")
    monkeypatch.setitem(
        transform._loaded, "magnitude", replace(plugin, traits={"purpose": "prune"})
    )
    (problem,) = problems(kind="magnitude", ratio=0.5)
    assert "prunes at once and not in steps" in problem.message


def test_a_student_that_rounds_or_is_frozen_is_not_pruned_meanwhile():
    frozen, rounding = problems(("stem",), rounds=True, kind="magnitude", ratio=0.5)
    assert frozen.path == "train.freeze"
    assert "Prune first" in rounding.next_step
