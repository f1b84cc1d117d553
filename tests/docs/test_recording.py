"""What is recorded of a paper's run: whom an arm is tested against, and what its steps cost."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from edgekd.core import kinds
from edgekd.train.marks import packed, write_selected

from ..benchmarks import record_papers
from ..benchmarks.recording import step_cost
from ..benchmarks.recording.enrichment import enrichment
from ..benchmarks.recording.figures import Arm, arms_of, base_of, described
from ..benchmarks.recording.rounds import against_chance


def comparison(group, **scores):
    """Return a group of arms as a report has it, each with its scores by seed."""
    arms = [
        {
            "scores": [
                {
                    "stage": name.replace("__", "."),
                    "seed": seed,
                    "score": value and {"value": value},
                }
                for seed, value in enumerate(values)
            ]
        }
        for name, values in scores.items()
    ]
    return {"stage": group, "arms": arms}


def test_an_arm_is_tested_against_its_own_control_then_its_groups_then_the_files():
    arms = arms_of(
        [
            comparison("wide", wide=[0.5], wide__plain_kd=[0.5]),
            comparison("narrow", narrow__1=[0.5], narrow__2=[0.5], narrow__1__plain_kd=[0.5]),
            comparison("alone", alone=[0.5]),
        ]
    )
    found = {arm.name: base_of(arm, "plain_kd", arms).name for arm in arms if not arm.base}
    assert found == {
        "wide": "wide.plain_kd",
        "narrow.1": "narrow.1.plain_kd",
        "narrow.2": "narrow.1.plain_kd",
        "alone": "wide.plain_kd",
    }
    assert base_of(arms[0], "no_kd", arms) is None


def test_a_stage_of_the_file_can_be_the_control():
    arms = [Arm("student", "student", {0: 0.5}), Arm("no_kd", "no_kd", {0: 0.25})]
    assert [arm.base for arm in arms] == ["", "no_kd"]
    assert base_of(arms[0], "no_kd", arms) is arms[1]


def test_differences_are_paired_by_seed_and_tested_together():
    arms = [
        Arm("student", "student", {0: 0.80, 1: 0.90, 2: 0.85, 9: 0.1}),
        Arm("student.no_kd", "student", {0: 0.70, 1: 0.79, 2: 0.76}),
        Arm("student.plain_kd", "student", {2: 0.80, 1: 0.85, 0: 0.82}),
    ]
    method, *controls = described(arms)
    assert method["mean"] == pytest.approx(0.6625)
    alone, plain = method["against"]["no_kd"], method["against"]["plain_kd"]
    assert (alone["mean"], alone["pairs"]) == (pytest.approx(0.1), 3)
    # differences .10 .11 .09: t = .1 / (.01 / sqrt 3) = 17.32, p = 0.00332, the smaller of two
    assert alone["p"] == pytest.approx(2 * 0.003317, rel=1e-3)
    assert (alone["low"], alone["high"]) == (
        pytest.approx(0.0752, abs=1e-4),
        pytest.approx(0.1248, abs=1e-4),
    )
    assert plain["mean"] == pytest.approx((-0.02 + 0.05 + 0.05) / 3)
    assert [arm["against"] for arm in controls] == [{}, {}]


def test_rounds_are_tested_against_chance_one_by_one_and_in_their_mean():
    alike = {0: 0.5, 1: 0.6}
    rows = against_chance(
        {
            30: {"cover": {0: 0.92, 1: 0.9}, "random": {0: 0.8, 1: 0.81}},
            10: {"cover": alike, "random": alike},
            20: {"cover": {0: 0.8, 1: 0.8}, "random": {0: 0.7, 1: 0.69}},
        }
    )
    assert [row["labelled"] for row in rows] == [10, 20, 30, None]
    means = [row["strategies"]["cover"]["mean"] for row in rows]
    assert means == pytest.approx([0.55, 0.8, 0.91, 0.855])
    against = [row["strategies"]["cover"]["against"] for row in rows]
    assert [one["mean"] for one in against] == pytest.approx([0, 0.105, 0.105, 0.105])
    assert against[0]["p"] is None
    assert against[1]["p"] == pytest.approx(3 * 0.0303, rel=1e-2)  # the least of three tests
    assert all(row["strategies"]["random"]["against"] is None for row in rows)
    assert against_chance({10: {"cover": alike}})[0]["strategies"]["cover"]["against"] is None


def test_a_seed_without_a_score_is_not_passed_over():
    with pytest.raises(ValueError, match="a has no score"):
        arms_of([comparison("a", a=[None, 0.5])])


def test_what_a_step_costs_is_its_own_time_over_that_of_the_base(plugged, monkeypatch):
    for name, count in (("WARM", 2), ("ROUNDS", 3), ("STEPS", 4)):
        monkeypatch.setattr(step_cost, name, count)

    spent = [0.0]
    monkeypatch.setattr(step_cost, "time", SimpleNamespace(process_time=lambda: spent[0]))

    def taking(seconds):
        def term(config, *, student_logits, labels):
            spent[0] += seconds
            return torch.nn.functional.cross_entropy(student_logits, labels, reduction="none")

        return term

    plugged(kinds.objective, "fast", taking(1.0))
    plugged(kinds.objective, "slow", taking(3.0))
    model = {"kind": "depthwise", "width": 4, "blocks": [1]}
    stages = [
        SimpleNamespace(
            name=name, kind="distill", seed=0, instead={},
            options={"model": model, "objective": [objective], "train": {"batch_size": 16}},
        )
        for name, objective in {
            "plain": "fast", "same": "fast", "more": "slow",
        }.items()
    ]  # fmt: skip
    task = {"kind": "image_classification", "data": "digits", "train_examples": 100}
    resolved = SimpleNamespace(stages=stages, threads=1, task=task, device="cpu")
    made = SimpleNamespace(resolved=resolved, folders={})
    costs = step_cost.step_costs(made, ["same", "more"], "plain")
    assert costs["same"] == {"least": 1.0, "median": 1.0, "most": 1.0}
    assert costs["more"] == {"least": 3.0, "median": 3.0, "most": 3.0}


def test_where_no_plain_distillation_can_be_steps_are_counted_beside_labels_alone(monkeypatch):
    asked = []
    monkeypatch.setattr(
        record_papers, "step_costs", lambda _, names, base: asked.append((base, names)) or {}
    )
    scores = {0: 0.5}
    arms = [Arm(name, "student", scores) for name in ("student", "student.no_kd")]
    record_papers._costs(arms, made=None)
    assert asked == [("student.no_kd", ["student"])]


def test_a_step_of_pre_training_is_told_beside_one_without_the_teacher(monkeypatch):
    mae, plain = ({"kind": kind} for kind in ("masked_reconstruction", "cross_entropy"))
    options = {
        "dmae": {"teacher": "$teacher", "model": {}, "objective": [mae, {"kind": "dmae"}]},
        "mae": {"teacher": None, "model": {}, "objective": [mae]},
        "student": {"model": "$dmae", "objective": [plain]},
        "plain_mae": {"model": "$mae", "objective": [plain]},
        "further": {"model": "$student", "objective": [plain]},
    }
    stages = [SimpleNamespace(name=name, options=own) for name, own in options.items()]
    made = SimpleNamespace(resolved=SimpleNamespace(stages=stages))
    monkeypatch.setattr(record_papers, "step_costs", lambda made, names, base: {base: names})
    arms = [Arm(name, name, {}) for name in ("student", "plain_mae", "further")]
    found = record_papers._pretraining_costs(arms, made)
    assert found == {"base": "mae", "steps": {"mae": ["dmae"]}}
    assert record_papers._pretraining_costs(arms[1:], made) == {}


def test_a_stage_that_fails_is_told(monkeypatch):
    stage = SimpleNamespace(name="x", kind="distill", seed=0, instead={}, options={"train": {}})
    made = SimpleNamespace(
        resolved=SimpleNamespace(
            stages=[stage], threads=1, device="cpu",
            task={"kind": "image_classification", "data": "digits", "train_examples": 100},
        ),
        folders={},
    )  # fmt: skip
    with pytest.raises(ValueError, match="model"):
        step_cost.step_costs(made, [], "x")


def test_how_clean_a_choice_is_is_told_by_epoch_and_over_all(tmp_path):
    label = np.array([0, 1, 0, 1, 1])
    pool = SimpleNamespace(labels=("good", "bad"), load=lambda _: {"label": label})
    for seed, marks in enumerate([[[1, 0, 1, 0, 0], [1, 1, 1, 1, 0]], [[1, 1, 0, 0, 0]] * 2]):
        (tmp_path / str(seed)).mkdir()
        write_selected(tmp_path / str(seed), [packed(torch.tensor(m) > 0) for m in marks], 5)
    (tmp_path / "without").mkdir()
    found = enrichment([*tmp_path.iterdir()], pool)
    assert (found["what"], found["share"]) == ("good", 0.4)
    assert found["kept"] == pytest.approx((0.4 + 0.8 + 0.4 + 0.4) / 4)
    assert found["among_kept"] == pytest.approx((1 + 0.5 + 0.5 + 0.5) / 4)
    assert found["enrichment"] == pytest.approx({"mean": 1.5625, "least": 1.25, "most": 2.5})
    assert found["by_epoch"] == pytest.approx([1.875, 1.25])
    assert enrichment([tmp_path / "without"], pool) is None
