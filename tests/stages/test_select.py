"""Selecting what to label: by each strategy, after others, from a pool that ends; what is wrong."""

import json
from collections import Counter
from typing import get_args

import pytest
import torch
from pydantic import ValidationError

from edgekd.core import kinds
from edgekd.core.errors import StageError
from edgekd.core.refs import UseModel, UseStage, UseTask
from edgekd.models.folder import save_model, stored_for
from edgekd.ops.selection import farthest_first
from edgekd.pipeline.preview import StagePreview
from edgekd.stages.select import _STRATEGIES, Strategy
from edgekd.testing.runs import ExampleRun

STAGE = kinds.stage.get("select")
USE = UseModel.model_validate({"kind": "depthwise", "width": 4, "blocks": (1,)})
CPU = torch.device("cpu")
TAP = "stages"


@pytest.fixture(scope="module")
def digits():
    given = {"kind": "image_classification", "data": "digits", "train_examples": 90}
    return UseTask.model_validate(given).build()


@pytest.fixture(scope="module")
def model(digits, tmp_path_factory):
    """Return a folder with a model by chance, in which selections may stand beside it."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models")
    (folder / "student").mkdir()
    network = USE.build()(digits.signature()).eval()
    save_model(folder / "student", stored_for(digits, network, USE))
    return folder


def selected(folder, digits, name, seed=0, **options):
    run = ExampleRun(folder, digits, name=name, seed=seed)
    facts = STAGE.build(STAGE.config.model_validate(options))(run)
    ids = json.loads((run.out / "selection.json").read_text())["ids"]
    assert ids[len(ids) - len(facts["selection"]["taken"]) :] == facts["selection"]["taken"]
    return ids, facts, run


def labels_of(digits):
    (batch,) = digits.batches("train", 90, device=CPU)
    return batch["labels"]


def test_a_first_draw_is_one_of_each_class_by_the_seed(digits, model):
    ids, facts, _ = selected(model, digits, "first", strategy="stratified")
    assert sorted(labels_of(digits)[ids].tolist()) == [*range(10)]
    assert facts["says"] == "10 of 90 by stratified, 10 labelled"
    assert facts["selection"]["classes"] == {str(digit): 1 for digit in range(10)}
    assert (facts["selection"]["left"], facts["result"].value) == (80, 10)
    again, *_ = selected(model, digits, "again", strategy="stratified")
    other, *_ = selected(model, digits, "other", seed=1, strategy="stratified")
    assert ids == again != other


@pytest.mark.parametrize("strategy", [s for s in get_args(Strategy) if s != "stratified"])
def test_budgets_add_up_without_an_example_twice_until_the_pool_ends(
    digits, model, strategy, tmp_path
):
    (tmp_path / "student").symlink_to(model / "student")
    before, *_ = selected(tmp_path, digits, "first", strategy="stratified")
    how = {"strategy": strategy, "model": "$student", "tap": TAP, "budget": 35}
    after = "first"
    for number, (taken, left) in enumerate([(35, 45), (35, 10), (10, 0), (0, 0)]):
        ids, facts, run = selected(tmp_path, digits, f"{number}", after=f"${after}", **how)
        assert ids[: len(before)] == before
        assert len({*ids}) == len(ids) == len(before) + taken
        assert (facts["selection"]["left"], facts["selection"]["labelled"]) == (left, len(ids))
        told = [f"the pool is exhausted: {taken} of 35 examples were left to take."]
        assert run.notices == (told if taken < 35 else [])
        counted = Counter(labels_of(digits)[facts["selection"]["taken"]].tolist())
        assert facts["selection"]["classes"] == {str(c): counted[c] for c in sorted(counted)}
        before, after = ids, f"{number}"
    assert sorted(before) == [*range(90)]
    twice, *_ = selected(tmp_path, digits, "twice", after="$first", **how)
    assert twice == json.loads((tmp_path / "0" / "selection.json").read_text())["ids"]


def test_pcoreset_covers_what_the_model_says_and_not_the_labels(digits, model):
    first, *_ = selected(model, digits, "start", strategy="stratified")
    ids, *_ = selected(model, digits, "covered", model="$student", after="$start", budget=20)
    (batch,) = digits.batches("train", 90, device=CPU)
    from edgekd.models.folder import load_model

    with torch.no_grad():
        said = load_model(model / "student").module.eval()(batch["image"]).softmax(-1)
    pool = [i for i in range(90) if i not in first]
    picks = farthest_first(said[pool], said[first], 20).picks.tolist()
    assert ids == first + [pool[pick] for pick in picks]


def test_it_may_choose_among_some_of_the_pool_drawn_by_the_seed(digits, model):
    def picked(name, **more):
        how = {"model": "$student", "budget": 10} | more
        return selected(model, digits, name, **how)[:2]

    few, facts = picked("few", candidates=12)
    assert len({*few}) == 10
    assert facts["selection"]["left"] == 80
    assert picked("few_again", candidates=12)[0] == few
    assert {*picked("other_few", candidates=12, seed=1)[0]} != {*few}
    all_of, _ = picked("of_all")
    assert picked("of_so_many", candidates=90)[0] == all_of != few
    drawn = {*picked("drawn", candidates=12, budget=12)[0]}
    assert {*few} < drawn


def test_every_strategy_that_is_offered_is_there_and_another_is_refused_with_the_list():
    assert {*get_args(Strategy)} == {*_STRATEGIES}
    with pytest.raises(ValidationError) as caught:
        STAGE.config.model_validate({"strategy": "pcorset"})
    assert all(f"'{name}'" in str(caught.value) for name in get_args(Strategy))


def test_a_model_that_says_nothing_finite_is_refused(digits, tmp_path):
    network = USE.build()(digits.signature())
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    (tmp_path / "student").mkdir()
    save_model(tmp_path / "student", stored_for(digits, network, USE))
    with pytest.raises(StageError, match=r"\$student gives numbers that are not finite"):
        selected(tmp_path, digits, "picked", model="$student")


@pytest.mark.parametrize(
    ("options", "path", "words"),
    [
        ({}, "model", "pcoreset goes by what a model says, and none is named."),
        ({"strategy": "random"}, None, ""),
        ({"model": "$student", "strategy": "badge"}, "tap", "badge compares features"),
        ({"model": "$student", "strategy": "coreset", "tap": "stage"}, "tap", "no module 'stage'"),
        ({"model": "$student", "strategy": "coreset", "tap": "stages"}, None, ""),
        ({"strategy": "random", "candidates": 9}, "candidates", "of 9 candidates 10 cannot be"),
        ({"strategy": "random", "candidates": 9, "budget": 9}, None, ""),
    ],
)
def test_what_a_strategy_lacks_is_said_before_the_run(digits, options, path, words):
    student = UseStage.model_validate(
        {"kind": "teacher", "model": USE.model_dump() | {"options": USE.options}, "untrained": True}
    )
    found = [
        *STAGE.traits["check"](
            STAGE.config.model_validate(options), StagePreview({"student": student}, digits, {})
        )
    ]
    assert [problem.path for problem in found] == ([path] if path else [])
    assert all(words in problem.message for problem in found)


def test_a_task_without_labels_has_nothing_to_ask_for():
    bare = {"kind": "unlabelled_images", "data": "digits", "classes": 10}
    preview = StagePreview({}, UseTask.model_validate(bare).build(), {})
    options = STAGE.config.model_validate({"strategy": "random"})
    (problem,) = STAGE.traits["check"](options, preview)
    assert problem.message == "this task has no classes whose labels could be asked for."


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rounds": 2}, "rounds need a model"),
        ({"rounds": 2, "model": "$a", "after": "$b"}, "begin with a draw of their own, not after"),
        ({"initial": 5}, "without them give a budget"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, words):
    with pytest.raises(ValidationError, match=words):
        STAGE.config.model_validate(options)
