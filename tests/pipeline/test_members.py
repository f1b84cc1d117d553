"""Seeds and controls: the stages that one stage of the file stands for."""

import json

import pytest

import edgekd
from edgekd.__main__ import main
from edgekd.core import kinds
from edgekd.core.errors import RequestError
from edgekd.pipeline.plan import explain
from edgekd.pipeline.schema import pipeline_schema
from edgekd.stages import distill

from .conftest import TINY

SEEDS = TINY.replace("    teacher: $teacher\n", "    seeds: 3\n    teacher: $teacher\n")
CONTROLS = TINY.replace(", cross_entropy]", "]").replace(
    "    teacher: $teacher\n", "    controls: true\n    teacher: $teacher\n"
)


def test_a_stage_is_made_with_its_seed_and_those_after_it(stages):
    found = stages(SEEDS, "stages.student.seed=5")
    assert [*found] == [
        "teacher",
        "teacher.outputs",
        "student",
        "student.seed-6",
        "student.seed-7",
        "smaller",
    ]
    assert [found[name].seed for name in found] == [0, 0, 5, 6, 7, 0]
    assert found["student"].options == found["student.seed-7"].options
    assert found["student.seed-7"].member.words == "seed 7 of student"


def test_what_a_stage_needs_is_estimated_once_for_all_its_seeds(stages, monkeypatch):
    asked, estimate = [], distill.training_needs

    def counted(*given, **named):
        asked.append(given)
        return estimate(*given, **named)

    monkeypatch.setattr(distill, "training_needs", counted)
    needs = [stage.needs for stage in stages(SEEDS).values() if stage.kind == "distill"]
    assert len(needs) == 3
    assert needs[0] == needs[1] == needs[2] is not None
    assert len(asked) == 1


def test_what_rests_on_a_stage_with_seeds_rests_on_the_first(stages):
    assert stages(SEEDS)["smaller"].inputs == ("student",)


def test_a_stage_with_seeds_rests_on_those_of_its_own_where_there_are_such(stages):
    more = """
  tuned: {kind: distill, seeds: 4, model: $student, objective: [cross_entropy]}
  later: {kind: distill, seeds: 2, seed: 9, model: $student, objective: [cross_entropy]}
"""
    found = stages(f"{SEEDS.rstrip()}{more}")
    rests = {name: found[name].inputs for name in found if name.startswith(("tuned", "later"))}
    assert rests == {
        "tuned": ("student",),
        "tuned.seed-1": ("student.seed-1",),
        "tuned.seed-2": ("student.seed-2",),
        "tuned.seed-3": ("student",),
        "later": ("student",),
        "later.seed-10": ("student",),
    }


def test_another_stage_may_rest_on_one_seed_or_control_by_name(stages):
    text = SEEDS.replace("model: $student", "model: $student.seed-2")
    assert stages(text)["smaller"].inputs == ("student.seed-2",)
    text = CONTROLS.replace("model: $student", "model: $student.no_kd")
    assert stages(text)["smaller"].inputs == ("student.no_kd",)


def test_controls_differ_from_their_stage_in_nothing_but_the_method(stages):
    found = stages(CONTROLS.replace("controls", "seeds: 2\n    controls"))
    arms = {name: member.arm for name, s in found.items() if (member := s.member)}
    assert arms == {
        "student": "student", "student.seed-1": "student",
        "student.no_kd": "student.no_kd", "student.no_kd.seed-1": "student.no_kd",
        "student.plain_kd": "student.plain_kd", "student.plain_kd.seed-1": "student.plain_kd",
    }  # fmt: skip
    stage, labels, plain = (found[f"student{rest}"] for rest in ("", ".no_kd", ".plain_kd"))
    assert labels.inputs == ()
    assert plain.inputs == ("teacher.outputs",)
    assert [term["kind"] for term in labels.options["objective"]] == ["cross_entropy"]
    assert [term["kind"] for term in plain.options["objective"]] == ["cross_entropy", "kd"]
    for control in (labels, plain):
        assert control.options["train"] == stage.options["train"]
        assert control.options["model"] == stage.options["model"]


@pytest.mark.parametrize(
    ("objective", "left"),
    [
        ("[{kind: kd, temperature: 4.0}]", ["no_kd", "plain_kd"]),
        ("[{kind: kd, temperature: 2.0}, {kind: cross_entropy, weight: 0.5}]", ["no_kd"]),
        ("[cross_entropy]", ["plain_kd", "no_kd"]),
    ],
)
def test_a_control_that_is_the_stage_itself_is_left_out(stages, objective, left):
    text = CONTROLS.replace("[{kind: kd, temperature: 4.0}]", objective)
    assert {f"student.{name}" for name in left} == {n for n in stages(text) if "student." in n}


def test_without_a_teacher_and_with_labels_alone_nothing_is_left_to_control(stages):
    text = CONTROLS.replace("[{kind: kd, temperature: 4.0}]", "[cross_entropy]")
    found = stages(text.replace("    teacher: $teacher\n", ""))
    assert [*found] == ["teacher", "student", "smaller"]


def test_what_learns_embeddings_has_the_cosine_alone_for_a_control():
    objective = ["embedding_cosine", {"kind": "embedding_neighbours", "weight": 0.1}]
    stage = kinds.stage.get("distill")
    given = {"model": "$small", "teacher": "$teacher", "objective": tuple(objective)}
    options = stage.config.model_validate(given)
    (name, control), *others = stage.traits["controls"](options).items()
    assert (name, others) == ("plain_kd", [])
    assert [term.kind for term in control.objective] == ["embedding_cosine"]
    assert not stage.traits["controls"](control)


BAD = {
    "no controls": (["stages.smaller.controls=true"], "'prune' has no controls", "some: distill."),
    "no seed": (["stages.student.seeds=0"], "greater than or equal to 1", "found 0"),
    "too many seeds": (["stages.student.seeds=101"], "less than or equal to 100", "found 101"),
    "too many stages": (
        [f"stages.{name}.seeds=100" for name in ("teacher", "student", "smaller")]
        + ["stages.student.controls=true"],
        "these are 400 stages; 300 are the most",
        "Lower seeds",
    ),
    "no such member": (["stages.smaller.model=$student.no_k"], "no stage is named", "Known"),
}


@pytest.mark.parametrize(("sets", "words", "step"), BAD.values(), ids=BAD)
def test_what_cannot_be_is_said_at_its_place_once(stages, sets, words, step):
    with pytest.raises(RequestError) as caught:
        stages(TINY, *sets)
    (problem,) = caught.value.problems
    assert words in problem.message
    assert step in f"{problem.message} {problem.next_step}"
    assert problem.place.startswith("--set") == (problem.path != "stages")


def test_what_is_wrong_with_a_stage_is_said_once_for_all_its_seeds(stages):
    with pytest.raises(RequestError) as caught:
        stages(SEEDS, "stages.student.teacher=null")
    assert [p.path for p in caught.value.problems] == ["stages.student.objective[0]"]


def test_a_name_with_a_dot_cannot_be_written(stages):
    with pytest.raises(RequestError, match=r"'student\.seed-1' is not a name"):
        stages(TINY.replace("  smaller:", "  student.seed-1:"))


def test_the_schema_knows_seeds_controls_and_sweeps():
    schema = pipeline_schema()
    stage = schema["$defs"]["UseStage"]["anyOf"][1]["properties"]
    assert stage["seeds"]["minimum"] == 1
    assert stage["controls"]["type"] == "boolean"
    assert {*schema["$defs"]["Sweep"]["properties"]} == {"grid", "list"}


def test_until_takes_a_stage_with_all_that_was_made_from_it(tiny):
    ran = ["teacher", "teacher.outputs", "student", "student.seed-1", "student.seed-2"]
    assert list(tiny(SEEDS, until="student").ran) == ran
    assert list(tiny(SEEDS, until="student.seed-2").ran) == []


def test_stages_that_differ_in_their_names_alone_share_a_result(tiny):
    result = tiny(TINY + "  again:" + TINY.partition("  smaller:")[2])
    assert list(result.ran) == ["teacher", "teacher.outputs", "student", "smaller"]
    assert result.manifests["again"].key == result.manifests["smaller"].key


def test_the_plan_says_what_a_stage_is_and_why_follows_all(tiny, capsys, tmp_path):
    (tmp_path / "tiny.yaml").write_text(SEEDS)
    with pytest.raises(SystemExit) as ended:
        main_of("plan", "tiny.yaml")
    assert ended.value.code == 0
    assert "no earlier result  seed 2 of student  (needs" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main_of("plan", "tiny.yaml", "--json")
    steps = {step["stage"]: step["about"] for step in json.loads(capsys.readouterr().out)["steps"]}
    assert steps["student.seed-1"] == "seed 1 of student"
    assert steps["student"] == steps["teacher"] == ""
    planned = edgekd.plan("tiny.yaml")
    assert explain(planned, "student")[1] == "student.seed-1: no earlier result"
    with pytest.raises(SystemExit):
        main_of("why", "tiny.yaml", "student", "--json")
    assert json.loads(capsys.readouterr().out)["action"] == "run"


def main_of(*words):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["edgekd", *words])
        main()
