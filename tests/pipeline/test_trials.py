"""Sweeps: trials in the place of a stage, and what rests on them."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.core.errors import RequestError
from edgekd.pipeline.document import parse_document
from edgekd.pipeline.trials import Sweep, with_trials

from .conftest import TINY

REST = """\
  onnx: {kind: export, model: $smaller, runtime: onnxruntime}
  check: {kind: validate, programs: [$onnx], along: [$student], reference: $teacher}
  report: {kind: report, of: [$check]}
"""
GRID = """\
sweep:
  student:
    grid:
      train.learning_rate: [0.01, 0.02]
      model.width: [4, 8]
"""
SWEPT = TINY + REST + GRID
LIST = (
    TINY
    + """\
sweep:
  student:
    list:
      - {train.learning_rate: 0.05}
      - {model: {kind: resnet, depth: 8, width: 4}, objective: [kd], seed: 7}
"""
)


def problems(stages, text, *sets):
    with pytest.raises(RequestError) as caught:
        stages(text, *sets)
    return caught.value.problems


def test_a_grid_is_every_combination(stages):
    found = stages(TINY + GRID)
    options = [found[f"student.{i}"].options for i in range(1, 5)]
    assert [(o["train"]["learning_rate"], o["model"]["width"]) for o in options] == [
        (0.01, 4), (0.01, 8), (0.02, 4), (0.02, 8),
    ]  # fmt: skip
    assert "student" not in found
    assert found["student.3"].member.words == (
        "trial 3 of student: train.learning_rate 0.02, model.width 4"
    )


def test_a_list_is_its_rows_and_may_replace_whole_parts(stages):
    found = stages(LIST)
    first, second = found["student.1"], found["student.2"]
    assert first.options["train"] == {**second.options["train"], "learning_rate": 0.05}
    assert second.options["model"]["kind"] == "resnet"
    assert [term["kind"] for term in second.options["objective"]] == ["kd"]
    assert (first.seed, second.seed) == (0, 7)
    assert second.member.setting == "model resnet depth 8 width 4, objective kd, seed 7"


def test_one_value_is_repeated_for_each_trial_and_a_list_takes_them_all(stages):
    found = stages(SWEPT)
    assert found["smaller.2"].inputs == ("student.2",)
    assert found["onnx.4"].inputs == ("smaller.4",)
    numbers = "1234"
    assert found["check"].options["programs"] == [f"$onnx.{i}" for i in numbers]
    assert found["check"].options["along"] == [f"$student.{i}" for i in numbers]
    assert [name for name in found if name.startswith(("check", "report"))] == ["check", "report"]
    assert {f"student.{i}" for i in numbers} <= {*found["report"].inputs}
    assert found["smaller.2"].member.words == (
        "with trial 2 of student: train.learning_rate 0.01, model.width 8"
    )


def test_a_reference_to_one_trial_is_not_repeated(stages):
    found = stages(SWEPT.replace("model: $student,", "model: $student.3,"))
    assert found["smaller"].inputs == ("student.3",)
    assert found["check"].options["programs"] == ["$onnx"]


def test_a_single_value_in_the_reference_repeats_the_check(stages):
    sweep = "sweep: {teacher: {list: [{model.width: 8}, {model.width: 16}]}}\n"
    found = stages(TINY + REST + sweep)
    assert found["check.2"].options["reference"] == "$teacher.2"
    assert found["check.2"].options["programs"] == ["$onnx.2"]
    assert found["report"].options["of"] == ["$check.1", "$check.2"]


def test_two_sweeps_make_each_trial_with_each_other(stages):
    text = TINY + REST + GRID + "  teacher: {list: [{seed: 1}, {seed: 2}]}\n"
    found = stages(text)
    assert found["student.3.2"].inputs == ("teacher.2.outputs",)
    assert found["smaller.3.2"].inputs == ("student.3.2",)
    assert found["student.3.2"].member.words.endswith("model.width 4 with teacher.2")
    assert found["check.2"].options["programs"] == [f"$onnx.{i}.2" for i in range(1, 5)]
    assert Counter(name.partition(".")[0] for name in found) == {
        "teacher": 6, "student": 16, "smaller": 8, "onnx": 8, "check": 2, "report": 1,
    }  # fmt: skip


def test_trials_have_seeds_and_controls_of_their_own(stages):
    controls = SWEPT.replace("    teacher: $", "    seeds: 2\n    controls: true\n    teacher: $")
    own = [name for name in stages(controls) if name.startswith("student.") and "onnx" not in name]
    assert own == [
        "student.1", "student.1.seed-1", "student.1.no_kd", "student.1.no_kd.seed-1",
        "student.2", "student.2.seed-1", "student.2.no_kd", "student.2.no_kd.seed-1",
        "student.3", "student.3.seed-1", "student.3.no_kd", "student.3.no_kd.seed-1",
        "student.4", "student.4.seed-1", "student.4.no_kd", "student.4.no_kd.seed-1",
    ]  # fmt: skip
    same = controls.replace("      train.learning_rate: [0.01, 0.02]\n", "").replace(
        "model.width: [4, 8]", "objective[0].temperature: [1.0, 2.0]"
    )
    own = [name for name in stages(same) if "no_kd" in name]
    assert own == ["student.1.no_kd", "student.1.no_kd.seed-1"], "one control serves both"


def test_the_command_line_sets_values_of_a_sweep(stages):
    found = stages(
        SWEPT, "sweep.student.grid.train.learning_rate=[0.5]",
        "sweep.student.grid.model.width[1]=12", "sweep.student.grid.objective[0].weight=[2.0]",
    )  # fmt: skip
    assert [n for n in found if n.startswith("student.") and "onnx" not in n] == [
        "student.1", "student.2",
    ]  # fmt: skip
    options = found["student.2"].options
    assert (options["train"]["learning_rate"], options["model"]["width"]) == (0.5, 12)
    assert options["objective"][0]["weight"] == 2.0
    changed = stages(LIST, "sweep.student.list[0].train.learning_rate=0.25")
    assert changed["student.1"].options["train"]["learning_rate"] == 0.25


BAD = {
    "value": ("model.width: [4, 8]", "model.width: [4, -1, -1]",
              ["grid.model.width[1]", "grid.model.width[2]"], "found -1"),
    "key": ("model.width", "model.widht", ["grid.model.widht[0]", "grid.model.widht[1]"],
            "unknown key 'widht'"),
    "part": ("model.width", "modle.width", ["grid.modle.width[0]", "grid.modle.width[1]"],
             "unknown key 'modle'"),
    "index": ("model.width: [4, 8]", "'objective[9].weight': [1.0]",
              ["grid.objective[9].weight[0]"], "there is no stages.student.objective[9]"),
    "path": ("model.width: [4, 8]", "'model..width': [1]", ["grid.model..width[0]"], "not a path"),
    "reference": ("model.width: [4, 8]", "teacher: [$teachr]", ["grid.teacher[0]"],
                  "no stage is named 'teachr'"),
    "no values": ("model.width: [4, 8]", "model.width: []", ["grid.model.width"], "at least 1"),
    "no list": ("model.width: [4, 8]", "model.width: 4", ["grid.model.width"], "tuple"),
    "many": ("model.width: [4, 8]", f"model.width: {[*range(1, 200)]}", [""],
             "these are 398 trials; a pipeline has at most 300 stages"),
    "many in all": ("model.width: [4, 8]", f"model.width: {[*range(1, 100)]}", None,
                    "these are 597 stages; 300 are the most"),
    "stage": ("  student:\n    grid", "  studnt:\n    grid", None, "no stage is named 'studnt'"),
    "both": ("    grid:", "    list: [{seed: 1}]\n    grid:", [""], "either grid or list"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "paths", "words"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_said_at_its_value_once(stages, old, new, paths, words):
    text = TINY + REST.replace("$smaller", "$student") + GRID
    assert text.count(old) == 1
    found = problems(stages, text.replace(old, new))
    if paths is not None:
        assert [p.path for p in found] == [f"sweep.student.{p}".rstrip(".") for p in paths]
    for problem in found:
        assert words in problem.message
        line = int(problem.place.rpartition(":")[2])
        assert line > text[: text.index("sweep:")].count("\n")


def test_what_is_wrong_with_the_stage_itself_is_said_once_at_the_stage(stages):
    (found,) = problems(stages, SWEPT.replace("epochs: 2", "epochs: two"))
    assert found.path == "stages.student.train.epochs"


def test_what_only_a_trial_lacks_is_found_before_anything_runs(stages):
    (found,) = problems(stages, LIST.replace("objective: [kd]", "teacher: null"))
    assert "asks for teacher_logits" in found.message


def test_a_stage_may_leave_to_the_sweep_what_it_must_have(stages):
    text = LIST.replace("    model: {kind: depthwise, width: 4, blocks: [1]}\n", "").replace(
        "{train.learning_rate: 0.05}", "{model: {kind: resnet, depth: 8, width: 8}}"
    )
    assert stages(text)["student.1"].options["model"]["width"] == 8


def test_a_trial_that_a_list_names_twice_is_found_before_anything_runs(stages):
    (found,) = problems(stages, SWEPT.replace("[$onnx]", "[$onnx, $student.2]"))
    assert found.path == "stages.check"
    assert "'$student.2' is named twice" in found.message


VALUES = st.lists(st.integers(0, 3), min_size=1, max_size=3)


@given(st.dictionaries(st.sampled_from(["a", "b.c", "d[0].e"]), VALUES, min_size=1))
def test_a_grid_has_as_many_rows_as_it_says_each_once_per_place(grid):
    sweep = Sweep(grid={path: tuple(values) for path, values in grid.items()})
    rows = list(sweep.rows(("sweep", "s")))
    assert len(rows) == sweep.size()
    places = [tuple(place for *_, place in row) for row in rows]
    assert len({*places}) == len(places)
    assert all([path for path, *_ in row] == [*grid] for row in rows)


@given(st.integers(0, 3), st.integers(0, 3))
def test_a_trial_is_the_stage_with_its_values_and_nothing_else(one, other):
    rows = f"[{{'o[0].w': {one}}}, {{p.q: {other}}}]"
    text = f"stages: {{s: {{kind: k, o: [{{w: 0}}]}}}}\nsweep: {{s: {{list: {rows}}}}}"
    document, trials, problems = with_trials(parse_document(text, "f"), 9)
    assert not problems
    assert document.value["stages"] == {
        "s.1": {"kind": "k", "o": ({"w": one},)},
        "s.2": {"kind": "k", "o": ({"w": 0},), "p": {"q": other}},
    }
    assert [trial.name for trial in trials] == ["s.1", "s.2"]
