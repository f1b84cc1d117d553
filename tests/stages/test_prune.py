import json
import re

import pytest
import torch

from edgekd.core import kinds
from edgekd.core.errors import StageError
from edgekd.core.kinds import model as model_kind
from edgekd.core.refs import Ref, UseModel
from edgekd.devices.bench import Session
from edgekd.models.folder import StoredModel, load_model, save_model
from edgekd.stages.prune import prune
from edgekd.testing.tiny import Plain


def options(**transform):
    config = kinds.stage.get("prune").config
    return config.model_validate(
        {"model": "$student", "transform": {"kind": "channels", **transform}}
    )


def test_the_stage_leaves_a_smaller_model_and_says_how_small(bench):
    run = bench.run("pruned")
    facts = prune(options(ratio=0.5, importance="taylor"), run)
    dense, sparse = load_model(bench.folder / "student"), load_model(run.out)
    assert facts["parameters"] == sum(p.numel() for p in sparse.module.parameters())
    assert facts["parameters_before"] == sum(p.numel() for p in dense.module.parameters())
    assert facts["macs"] < facts["macs_before"]
    assert f"{facts['parameters']:,} of {facts['parameters_before']:,}" in facts["says"]
    assert sparse.facts == dense.facts
    assert 0 <= facts["result"].value <= 1


def test_the_same_run_gives_the_same_bytes(bench):
    files = []
    for name in ("one", "two"):
        run = bench.run(name)
        prune(options(ratio=0.5, importance="taylor", scope="global"), run)
        files.append((run.out / "model.safetensors").read_bytes())
    assert files[0] == files[1]


def test_a_pruned_model_can_be_pruned_again(bench):
    prune(options(ratio=0.5, round_to=1), bench.run("once"))
    again = options(ratio=0.5, round_to=1).model_copy(update={"model": _ref("once")})
    facts = prune(again, bench.run("twice"))
    twice = load_model(bench.folder / "twice").module
    assert facts["parameters"] == sum(p.numel() for p in twice.parameters())
    assert torch.isfinite(twice(torch.rand(2, 1, 8, 8))).all()


def _ref(stage):
    return Ref(stage, ("model",))


CPU = {
    "description": "here",
    "transport": {"kind": "local"},
    "runtimes": ("onnxruntime",),
    "bench": {"mode": "quick", "restarts": 2, "max_restarts": 2, "warmup_s": 0.02, "min_s": 0.02},
}


def by_latency(p50_ms):
    latency = {"p50_ms": p50_ms, "runtime": "onnxruntime"}
    wide = {"model": _ref("wide")}  # so wide that what goes shows, whatever else the machine does
    return options(latency=latency, scope="global", round_to=2).model_copy(update=wide)


model_kind(name="plain_and_wide")(lambda options, signature: Plain(width=128))


@pytest.fixture(scope="module")
def searched(make_bench, tmp_path_factory):
    """Return a bench with a student that was pruned to a latency, the facts, what was said."""
    bench = make_bench(tmp_path_factory.mktemp("searched"))
    bench.targets = {"cpu": CPU}
    use = UseModel.model_validate("plain_and_wide")
    signature = bench.task.signature()
    stored = StoredModel(use.build()(signature).eval(), use, signature, bench.task.facts())
    (bench.folder / "wide").mkdir()
    save_model(bench.folder / "wide", stored)
    with pytest.raises(
        StageError, match=r"dense model takes ([\d.]+) ms.*leave ([\d.]+)"
    ) as caught:
        prune(by_latency(1e-4), bench.run("hopeless"))
    dense, least = map(float, re.findall(r"(?:takes|leave) ([\d.]+) ms", str(caught.value)))
    said = []
    run = bench.run("fast", notice=said.append)
    return bench, run, prune(by_latency((dense + least) / 2), run), said


def test_a_student_is_pruned_to_a_latency_and_the_facts_tell_every_candidate(searched):
    bench, run, facts, _ = searched
    dense, sparse = load_model(bench.folder / "wide"), load_model(run.out)
    parameters = sum(p.numel() for p in sparse.module.parameters())
    assert parameters == facts["parameters"] < sum(p.numel() for p in dense.module.parameters())
    assert facts["latency_p50_ms"].value < facts["latency_p50_ms_before"].value
    assert f"{facts['latency_p50_ms'].value:.3g} of" in facts["says"]
    assert "ms with onnxruntime on cpu" in facts["says"]
    assert parameters in [candidate["parameters"] for candidate in facts["candidates"]]
    ratios = [candidate["ratio"] for candidate in facts["candidates"]]
    assert ratios == sorted(ratios)
    assert facts["ratio"] > 0
    json.dumps(facts["candidates"])


def test_an_interrupted_search_times_nothing_twice(searched, monkeypatch):
    bench, run, facts, _ = searched
    done = []
    do = Session._run
    monkeypatch.setattr(
        Session, "_run", lambda self, what, *a: done.append(what) or do(self, what, *a)
    )
    budget = float(facts["budget_ms"])
    again = prune(by_latency(budget), bench.run("again", unfinished=run.unfinished))
    assert set(done) == {"identify"}
    assert again["candidates"] == facts["candidates"]
    assert again["ratio"] == facts["ratio"]


def test_a_stage_that_searches_a_latency_belongs_to_the_machine_and_others_do_not():
    measures = kinds.stage.get("prune").traits["measures"]
    assert measures(by_latency(1.0))
    assert not measures(options(ratio=0.5))


def test_masks_are_told_as_size_only_and_kept_with_the_model(bench):
    masks = options(kind="magnitude", ratio=0.9)
    facts = prune(masks, bench.run("masked"))
    assert "90.0% of the weights are zero" in facts["says"]
    assert facts["says"].endswith("no smaller as they are, and no faster")
    assert facts["compressed_bytes"] < 0.5 * facts["compressed_bytes_before"]
    assert "latency_p50_ms" not in facts
    stored = load_model(bench.folder / "masked")
    assert stored.sparse
    weights = dict(stored.module.named_parameters())
    assert all((weights[name] == 0).any() for name in stored.sparse)


def test_what_is_cut_out_of_a_masked_model_keeps_its_zeros(bench):
    prune(options(kind="magnitude", ratio=0.5, scope="layer"), bench.run("masked"))
    cut = options(ratio=0.5).model_copy(update={"model": _ref("masked")})
    prune(cut, bench.run("narrow"))
    stored = load_model(bench.folder / "narrow")
    weights = dict(stored.module.named_parameters())
    assert stored.sparse == [n for n, w in sorted(weights.items()) if w.ndim > 1 and (w == 0).any()]
    assert stored.sparse
