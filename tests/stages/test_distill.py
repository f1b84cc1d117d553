"""Teaching and distilling can be interrupted, and leave the same files as if they were not.

So does a student that rounds while it learns, whose programs have the scales that it learned.
"""

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from edgekd.core import kinds
from edgekd.core.errors import RunInterruptedError, StageError
from edgekd.models.folder import load_model
from edgekd.ops.ranges import Levels
from edgekd.testing.runs import ExampleRun
from edgekd.train.evaluate import evaluate

TRAIN = {
    "epochs": 2,
    "batch_size": 128,
    "schedule": "one_cycle",
    "augment": ({"kind": "crop", "padding": 1},),
}
STAGES = {
    "teacher": {"model": {"kind": "depthwise", "width": 8, "blocks": (1,)}, "train": TRAIN},
    "distill": {
        "model": {"kind": "depthwise", "width": 4, "blocks": (1,)},
        "teacher": "$student",
        "objective": ("kd", "cross_entropy"),
        "train": TRAIN,
    },
}
ROUNDING = {
    "model": "$int8",
    "teacher": "$student",
    "objective": ("kd",),
    "train": TRAIN | {"learning_rate": 0.001, "ema": 0.5, "accumulate": 2},
}


def made(kind, run, options=None):
    """Return what a stage says, but for what it took, and every file that it leaves."""
    plugin = kinds.stage.get(kind)
    facts = {**plugin.build(plugin.config.model_validate(options or STAGES[kind]))(run)}
    assert facts.pop("training")["samples_per_s"] > 0
    return facts, {file.name: file.read_bytes() for file in run.out.iterdir()}


@pytest.mark.parametrize("kind", STAGES)
def test_an_interrupted_stage_leaves_the_same_files(bench, kind):
    assert kinds.stage.get(kind).traits["stops"]
    whole = made(kind, ExampleRun(bench.folder, bench.task, name="whole"))
    asked = iter([False] * 6 + [True])
    first = ExampleRun(bench.folder, bench.task, name="broken", stops=lambda: next(asked))
    with pytest.raises(RunInterruptedError, match="stopped after step 7 of 18"):
        made(kind, first)
    assert list(first.out.iterdir()) == []
    again = ExampleRun(bench.folder, bench.task, name="broken")
    assert made(kind, again) == whole
    assert again.told[0] == (7, 18, "resumed")
    assert {"history.json", "model.json", "model.safetensors"} == set(whole[1])


def resumed(bench, options, asked, step):
    """Interrupt a student after so many questions whether to end; return the run that goes on."""
    whole = made("distill", ExampleRun(bench.folder, bench.task, name="whole"), options)
    asks = iter([False] * (asked - 1) + [True])
    first = ExampleRun(bench.folder, bench.task, name="broken", stops=lambda: next(asks))
    with pytest.raises(RunInterruptedError, match=f"stopped after step {step} of 18"):
        made("distill", first, options)
    again = ExampleRun(bench.folder, bench.task, name="broken")
    assert made("distill", again, options) == whole
    return again


def test_terms_that_learn_and_remember_are_resumed_and_dropped_at_the_end(bench):
    pool, stages = ({"student": path, "teacher": path} for path in ("pool", "stages"))
    objective = (
        "cross_entropy",
        {"kind": "nd", "tap": pool},
        {"kind": "crd", "tap": pool, "negatives": 64},
        {"kind": "hint", "tap": stages},
    )
    fitting = 2 * 9  # nd and crd each see 1,078 examples, 128 at a time
    again = resumed(bench, STAGES["distill"] | {"objective": objective}, fitting + 7, 7)
    assert again.told[0] == (7, 18, "resumed"), "what terms found is not looked for again"
    plain = kinds.model.get("depthwise")
    built = plain.build(plain.config(width=4, blocks=(1,)))(bench.task.signature())
    handed_on = load_model(bench.folder / "broken").module
    assert [*handed_on.state_dict()] == [*built.state_dict()], "no projector is left"


FROM_A_POOL = {
    "model": {
        "kind": "shared_classifier",
        "of": {"kind": "depthwise", "width": 4, "blocks": (1,)},
        "width": 64,
    },
    "teacher": "$student",
    "pool": {
        "kind": "dirty_pool",
        "of": {"kind": "digits", "aside": 0.1, "train_on": "aside"},
        "shuffled": 0.2,
        "noise": 0.0,
    },
    "objective": (
        {"kind": "kd3", "tap": {"student": "projector", "teacher": "stages"}},
        {"kind": "view_contrast", "weight": 0.001, "tap": {"student": "body"}},
    ),
    "train": {
        "epochs": 2,
        "batch_size": 24,
        "learning_rate": 0.03,
        "select": {"kind": "blended_confidence", "cut": 0.3},
        "augment": ("mix_distribution",),
    },
}


def test_what_is_learned_from_a_pool_is_the_same_after_an_interruption(bench):
    whole = made("distill", ExampleRun(bench.folder, bench.task, name="whole"), FROM_A_POOL)
    assert "selected.safetensors" in whole[1]
    asked = iter([False] * 10 + [True])
    first = ExampleRun(bench.folder, bench.task, name="broken", stops=lambda: next(asked))
    with pytest.raises(RunInterruptedError, match="stopped after step 10 of 18"):
        made("distill", first, FROM_A_POOL)
    again = ExampleRun(bench.folder, bench.task, name="broken")
    assert made("distill", again, FROM_A_POOL) == whole
    head, own = (load_model(bench.folder / name).module.head for name in ("student", "whole"))
    assert torch.equal(head.weight, own.weight)
    assert torch.equal(head.bias, own.bias)


def test_what_must_be_beaten_from_a_pool_is_kd_of_all_of_it():
    plugin = kinds.stage.get("distill")
    config = plugin.config.model_validate(FROM_A_POOL)
    (name, control), = plugin.traits["controls"](config).items()  # fmt: skip
    assert (name, [term.kind for term in control.objective]) == ("plain_kd", ["kd"])
    assert (control.pool, control.model) == (config.pool, config.model)
    assert control.train.select is None


def test_a_choice_of_examples_must_beat_plain_distillation_from_all_of_them():
    plugin = kinds.stage.get("distill")
    plain = {"teacher": "$t", "model": FROM_A_POOL["model"], "objective": ("cross_entropy", "kd")}
    chosen = plain | {"train": {"select": "blended_confidence"}}
    controls = plugin.traits["controls"]
    assert [*controls(plugin.config.model_validate(plain))] == ["no_kd"]
    found = controls(plugin.config.model_validate(chosen))
    assert [*found] == ["no_kd", "plain_kd"]
    assert found["plain_kd"].train.select is None


@pytest.mark.parametrize("how", [{"labelled": 40}, {"augment": ({"kind": "mixup"},)}])
def test_few_labels_and_mixed_examples_are_the_same_after_an_interruption(bench, how):
    resumed(bench, STAGES["distill"] | {"train": TRAIN | how}, 12, 11)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_zeros_of_a_masked_model_stay_zeros_through_a_training_and_an_interruption(
    bench, optimizer
):
    use = {"kind": "magnitude", "ratio": 0.7}
    mask = kinds.stage.get("prune").config.model_validate({"model": "$student", "transform": use})
    kinds.stage.get("prune").build(mask)(bench.run("masked"))
    plan = {
        "model": "$masked",
        "objective": ("cross_entropy",),
        "train": {"epochs": 1, "batch_size": 256, "optimizer": optimizer, "ema": 0.5,
                  "clip_norm": 1.0},
    }  # fmt: skip
    trained = kinds.stage.get("distill")
    go_on = trained.build(trained.config.model_validate(plan))
    whole = bench.run("whole")
    go_on(whole)
    asked = iter([False, False, True])
    broken = bench.run("broken", stop_asked=lambda: next(asked))
    with pytest.raises(RunInterruptedError):
        go_on(broken)
    broken.stop_asked = lambda: False
    go_on(broken)
    before, after, again = (load_model(bench.folder / n) for n in ("masked", "whole", "broken"))
    old, new = (dict(m.module.named_parameters()) for m in (before, after))
    assert after.sparse == before.sparse != ()
    for name in before.sparse:
        assert torch.equal(new[name] == 0, old[name] == 0)
    assert any(not torch.equal(new[name], old[name]) for name in before.sparse)
    resumed = dict(again.module.named_parameters())
    assert all(torch.equal(resumed[name], tensor) for name, tensor in new.items())


def stage(kind, run, **options):
    plugin = kinds.stage.get(kind)
    return plugin.build(plugin.config.model_validate(options))(run)


@pytest.fixture(scope="module")
def rounded(make_bench, tmp_path_factory):
    """Return a bench with an int8 student and `qat`, which was trained from it, and its facts."""
    bench = make_bench(tmp_path_factory.mktemp("rounded"))
    transform = {"kind": "int8_static", "examples": 64}
    stage("quantize", bench.run("int8"), model="$student", transform=transform)
    run = ExampleRun(bench.folder, bench.task, name="qat")
    return bench, made("distill", run, ROUNDING), run


def trained_scales(bench):
    """Return the scales of activations and of weights that training ended with."""
    stored = load_model(bench.folder / "qat")
    ends = np.float32([*stored.quantization.options.ranges.values()])
    scale, zero = Levels().steps(*map(torch.from_numpy, ends.T))
    return stored, set(zip(scale.tolist(), zero.tolist(), strict=True))


def test_what_is_handed_on_has_the_trained_weights_and_ranges(rounded):
    bench, (facts, files), _ = rounded
    stored, before = load_model(bench.folder / "qat"), load_model(bench.folder / "int8")
    assert {"quantization.json", "calibration.safetensors", "history.json"} < set(files)
    assert facts["says"].endswith("parameters, kd, rounded by int8_static")
    assert facts["result"].value > 0.85
    assert stored.quantization.options.ranges
    assert not before.quantization.options.ranges
    assert len(stored.calibration) == 1
    assert (stored.module.head.weight != before.module.head.weight).any()


def test_an_interrupted_student_that_rounds_leaves_the_same_files(rounded):
    bench, whole, _ = rounded
    asked = iter([False] * 11 + [True])
    first = ExampleRun(bench.folder, bench.task, name="broken", stops=lambda: next(asked))
    with pytest.raises(RunInterruptedError, match="stopped after step 11 of 18"):
        made("distill", first, ROUNDING)
    assert made("distill", ExampleRun(bench.folder, bench.task, name="broken"), ROUNDING) == whole


@pytest.mark.parametrize("activation", ["uint8", "int8"])
def test_the_onnx_program_has_the_scales_that_were_trained(rounded, activation):
    bench, _, _ = rounded
    bench.targets["board"] = {"quantization": {"activation": activation}}
    run = bench.run(f"onnx_{activation}")
    facts = stage("export", run, model="$qat", runtime="onnxruntime", target="board")
    assert (facts["precision"], facts["activation"]) == ("int8", activation)
    stored, expected = trained_scales(bench)
    graph = onnx.load(next(run.out.glob("*.onnx"))).graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    shift = 128 if activation == "uint8" else 0
    found, weights = set(), {}
    for node in graph.node:
        if node.op_type == "QuantizeLinear":
            scale, zero = (constants[name] for name in node.input[1:])
            found.add((scale.item(), int(zero) - shift))
        elif node.op_type == "DequantizeLinear" and node.input[0] in constants:
            weights[constants[node.input[0]].shape] = constants[node.input[1]]
    assert found == expected
    head = stored.module.head.weight.detach().numpy()
    np.testing.assert_array_equal(weights[head.shape], np.abs(head).max(1) / np.float32(127))


def test_the_pte_program_has_the_scales_that_were_trained(rounded):
    bench, _, _ = rounded
    run = bench.run("pte")
    stage("export", run, model="$qat", runtime="executorch")
    stored, expected = trained_scales(bench)
    program = next(run.out.glob("*.pte")).read_bytes()
    missing = [scale for scale, _ in expected if np.float32(scale).tobytes() not in program]
    assert not missing
    head = np.abs(stored.module.head.weight.detach().numpy()).max(1) / np.float32(127)
    assert head.tobytes() in program
    assert np.nextafter(head, np.float32(1)).tobytes() not in program


def test_several_processes_do_not_train_a_student_that_rounds(rounded, monkeypatch):
    class Crowd:
        alone = False

    bench, _, _ = rounded
    monkeypatch.setattr("edgekd.train.rounding.group", Crowd)
    with pytest.raises(StageError, match=r"several processes[\s\S]*without --nproc"):
        made("distill", ExampleRun(bench.folder, bench.task, name="crowd"), ROUNDING)


def test_training_may_go_on_from_a_student_that_rounds(rounded):
    bench, _, _ = rounded
    run = ExampleRun(bench.folder, bench.task, name="further")
    made("distill", run, ROUNDING | {"model": "$qat", "train": {"epochs": 1, "batch_size": 512}})
    before, after = (load_model(bench.folder / name) for name in ("qat", "further"))
    ranges = [stored.quantization.options.ranges for stored in (before, after)]
    assert ranges[0].keys() == ranges[1].keys()
    assert ranges[0] != ranges[1]


PRUNING = {
    "model": "$student",
    "teacher": "$student",
    "objective": ("kd", "cross_entropy"),
    "train": {"epochs": 2, "batch_size": 128, "learning_rate": 0.001},
}


def pruned(bench, name, **use):
    """Return what a stage that prunes says, its model, and that of the stage before."""
    prune = {"transform": use, "steps": 3, "examples": 64}
    facts, _ = made(
        "distill", ExampleRun(bench.folder, bench.task, name=name), PRUNING | {"prune": prune}
    )
    return facts, load_model(bench.folder / name), load_model(bench.folder / "student")


def test_a_student_loses_channels_while_it_learns_and_is_handed_on_without_them(bench):
    facts, sparse, dense = pruned(bench, "narrow", kind="channels", ratio=0.5, round_to=4)
    told = facts["pruning"]
    assert facts["parameters"] == told["parameters"] == count(sparse) < count(dense)
    assert told["parameters_before"] == count(dense)
    assert told["macs"] < told["macs_before"]
    assert f"pruned while it learned: {told['says']}" in facts["says"]
    assert sparse.sparse == ()
    assert facts["result"] == evaluate(sparse.module, bench.task, "validation", torch.device("cpu"))


def test_a_student_with_masks_is_handed_on_with_zeros_that_stay(bench):
    facts, sparse, _ = pruned(bench, "masked", kind="magnitude", ratio=0.8)
    assert "80.0% of the weights are zero" in facts["says"]
    assert facts["pruning"]["compressed_bytes"] < facts["pruning"]["compressed_bytes_before"]
    weights = dict(sparse.module.named_parameters())
    assert sum(int((weights[name] == 0).sum()) for name in sparse.sparse) == pytest.approx(
        0.8 * sum(w.numel() for n, w in weights.items() if n in sparse.sparse), rel=0.02
    )


def count(stored):
    return sum(p.numel() for p in stored.module.parameters())
