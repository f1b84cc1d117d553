"""Rounds: a circle of stages made again and again, with seeds, sweeps and controls."""

import pytest

from edgekd.core.errors import RequestError

from .conftest import TINY

HEAD = TINY.partition("  student:")[0]
LOOP = (
    HEAD
    + """\
  picked: {kind: select, model: $student, rounds: 2, budget: 6}
  student:
    kind: distill
    teacher: $teacher
    model: {kind: depthwise, width: 4, blocks: [1]}
    objective: [{kind: kd, temperature: 4.0}, cross_entropy]
    train: {epochs: 1, labelled: $picked}
  smaller: {kind: prune, model: $student, transform: {kind: channels, ratio: 0.25, round_to: 1}}
"""
)
SEEDS = LOOP.replace("    teacher: $teacher\n", "    seeds: 2\n    teacher: $teacher\n")
SWEEP = "sweep: {picked: {grid: {strategy: [pcoreset, random]}}}\n"


def test_each_round_is_made_of_the_one_before_and_others_rest_on_the_last(stages):
    found = stages(LOOP)
    assert {name: stage.inputs for name, stage in found.items()} == {
        "teacher": (),
        "teacher.outputs": ("teacher",),
        "picked.round-0": (),
        "student.round-0": ("teacher.outputs", "picked.round-0"),
        "picked.round-1": ("student.round-0", "picked.round-0"),
        "student.round-1": ("teacher.outputs", "picked.round-1"),
        "picked": ("student.round-1", "picked.round-1"),
        "student": ("teacher.outputs", "picked"),
        "smaller": ("student",),
    }
    first, later, last = (found[n].options for n in ("picked.round-0", "picked.round-1", "picked"))
    assert (first["strategy"], first["model"], first["budget"]) == ("stratified", None, None)
    assert (last["strategy"], last["model"], last["budget"]) == ("pcoreset", "$student.round-1", 6)
    assert later["rounds"] is last["rounds"] is None
    assert found["student.round-1"].member.words == "round 1 of student"
    assert found["student.round-1"].member.group == "student.round-1"


def test_every_seed_has_a_circle_of_its_own(stages):
    found = stages(SEEDS, "stages.student.seed=3")
    assert found["student.round-0.seed-4"].inputs == ("teacher.outputs", "picked.round-0.seed-1")
    assert found["picked.seed-1"].inputs == ("student.round-1.seed-4", "picked.round-1.seed-1")
    assert found["student.seed-4"].inputs == ("teacher.outputs", "picked.seed-1")
    assert found["smaller"].inputs == ("student",)
    assert [found[n].seed for n in ("student.seed-4", "picked.seed-1", "picked")] == [4, 1, 0]
    assert found["student.round-1.seed-4"].member.arm == "student.round-1"


def test_a_teacher_inside_of_the_circle_is_made_anew_too(stages):
    text = SEEDS.replace("train: {epochs: 1}", "train: {epochs: 1, labelled: $picked}")
    found = stages(text)
    assert found["teacher.round-1.seed-1"].inputs == ("picked.round-1.seed-1",)
    assert found["teacher"].inputs == ("picked",)
    assert found["student.round-1.seed-1"].inputs == (
        "teacher.round-1.seed-1.outputs", "picked.round-1.seed-1",
    )  # fmt: skip


def test_trials_have_circles_of_their_own_and_controls_learn_from_the_last(stages):
    text = SEEDS.replace("    seeds: 2\n", "    seeds: 2\n    controls: true\n") + SWEEP
    found = stages(text)
    assert found["student.2.round-1.seed-1"].inputs[1] == "picked.2.round-1.seed-1"
    assert found["student.2.no_kd.seed-1"].inputs == ("picked.2.seed-1",)
    assert "student.2.no_kd.round-1" not in found
    member = found["student.2.round-1"].member
    assert (member.group, member.setting) == ("student.round-1", "picked strategy random")
    assert found["smaller.2"].inputs == ("student.2",)


def test_a_sweep_of_what_learns_has_selections_of_its_own(stages):
    text = LOOP.replace("rounds: 2", "rounds: 1")
    found = stages(text + "sweep: {student: {grid: {train.epochs: [1, 2]}}}\n")
    assert found["picked.2"].inputs == ("student.2.round-0", "picked.2.round-0")
    assert found["student.2"].inputs == ("teacher.outputs", "picked.2")


def test_a_training_learns_from_a_selection_of_its_own_seed_without_rounds_too(stages):
    text = SEEDS.replace("rounds: 2, budget: 6", "seeds: 2, budget: 6").replace(
        "model: $student, seeds", "model: $teacher, seeds"
    )
    found = stages(text)
    assert found["student.seed-1"].inputs == ("teacher.outputs", "picked.seed-1")
    assert found["picked.seed-1"].inputs == ("teacher",)


BAD = {
    "no circle": (
        LOOP.replace("select, model: $student", "select, model: $teacher"),
        "its model does not learn from what is selected, so there are no rounds to make.",
        "Let the model's stage have train: {labelled: $picked}, or leave rounds out.",
    ),
    "two in one": (
        LOOP.replace("  smaller:", "  more: {kind: select, model: $student, rounds: 1}\n  smaller:")
        .replace("train: {epochs: 1}", "train: {epochs: 1, labelled: $more}"),
        "more makes rounds of the same stages.",
        "Leave rounds out of one of them.",
    ),
    "too many": (
        SEEDS.replace("rounds: 2", "rounds: 99"),
        "with controls, rounds and seeds these are 402 stages; 300 are the most.",
        "Lower seeds or rounds.",
    ),
    "no rounds": (
        LOOP.replace(" rounds: 2,", ""),
        "stages wait for each other: ",
        "Let one of them start from another result.",
    ),
    "a wrong kind": (
        LOOP.replace("labelled: $picked", "labelled: $teacher"),
        "'$teacher' is a model; expected a selection.",
        "Stages that make one: ",
    ),
    "an unknown strategy": (
        LOOP.replace("budget: 6", "strategy: badger"),
        "expected 'pcoreset', 'random', 'entropy', 'margin', 'coreset', 'badge', 'class_balanced'",
        "",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "words", "step"), BAD.values(), ids=BAD)
def test_what_cannot_be_is_said_at_its_place(stages, text, words, step):
    with pytest.raises(RequestError) as caught:
        stages(text)
    problem = next(p for p in caught.value.problems if words in p.message)
    assert step in problem.next_step
    assert problem.place.startswith(("tiny.yaml:", "/"))


def test_labels_add_up_seed_by_seed_until_the_pool_ends_and_each_round_is_compared(tiny):
    text = SEEDS.replace("train_examples: 128", "train_examples: 20")
    text = text.replace("    teacher: $teacher\n", "").replace("{kind: kd, temperature: 4.0}, ", "")
    made = tiny(text.replace("rounds: 2, budget: 6", "rounds: 1, budget: 12"), until="student")
    for end in ("", ".seed-1"):
        first, last = (made.facts[f"picked{n}{end}"]["selection"] for n in (".round-0", ""))
        assert (first["labelled"], last["labelled"], last["left"]) == (10, 20, 0)
        assert not {*first["taken"]} & {*last["taken"]}
    assert made.facts["picked"]["selection"] != made.facts["picked.seed-1"]["selection"]
    scored = {one["stage"]: [arm["mean"]["n"] for arm in one["arms"]] for one in made.comparisons}
    assert scored == {"student.round-0": [2], "student": [2]}
