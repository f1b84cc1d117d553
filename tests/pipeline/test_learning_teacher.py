"""A teacher that learns with its student, from the file to what is handed on."""

import json

import pytest

import edgekd
from edgekd.core.errors import RequestError
from edgekd.models.folder import load_model
from tests.pipeline.conftest import TINY

ONLINE = TINY.replace(
    "{kind: kd, temperature: 4.0}, cross_entropy]", "{kind: bdkd, delta: 4}, cross_entropy]"
)
MORE = """\
  said: {kind: outputs, model: $teacher}
  seen: {kind: export, model: $teacher, runtime: onnxruntime}
"""


def test_it_learns_from_chance_and_is_dropped(tiny):
    text = ONLINE.replace("    train: {epochs: 1}\n", "    untrained: true\n").replace(
        "{epochs: 2}", "{epochs: 12, batch_size: 16, learning_rate: 0.01}"
    )
    result = tiny(text, until="student")
    assert [*result.ran] == ["teacher", "student"], "nothing is kept of one that learns"
    history = json.loads((result.folders["student"] / "history.json").read_text())
    untrained = result.facts["teacher"]["result"]["value"]
    assert history["teachers"]["teacher"] > untrained + 0.15
    assert load_model(result.folders["student"]).use.options.width == 4
    assert result.facts["student"]["says"].endswith("bdkd + cross_entropy, and its teacher")
    told = edgekd.plan("tiny.yaml").step("student").stage.remarks
    assert list(told) == [
        "teacher learns, too: its outputs are not kept, and it is dropped at the end"
    ]


def test_an_untrained_teacher_that_does_not_learn_is_told(tiny, stages):
    text = TINY.replace("    train: {epochs: 1}\n", "    untrained: true\n")
    said = "teacher is untrained and does not learn here: what it says is chance"
    assert [*stages(text)["student"].remarks] == [said]
    control = stages(text.replace("[{kind: kd, temperature: 4.0}, cross_entropy]", "[bdkd]")
                     .replace("{epochs: 2}", "{epochs: 2}\n    controls: true"))  # fmt: skip
    assert said not in control["student"].remarks
    assert said in control["student.plain_kd"].remarks


def test_offline_its_teacher_is_asked_once(tiny):
    result = tiny(ONLINE.replace("delta: 4", "delta: 4, online: false"), until="student")
    assert [*result.ran] == ["teacher", "teacher.outputs", "student"]


@pytest.mark.parametrize(
    ("teacher", "path", "words"),
    [
        ("cache: {keep: always}\n    teacher: $teacher", "cache.keep", "cannot be kept"),
        ("shard_teacher: true\n    teacher: $teacher", "shard_teacher", "cannot be shared out"),
        ("teacher: $said", "teacher", r"bdkd lets its teacher learn, and \$said is kept outputs"),
        ("teacher: $seen", "teacher", r"bdkd lets its teacher learn, and \$seen is a program"),
    ],
)
def test_a_teacher_that_cannot_learn_is_refused(tiny, teacher, path, words):
    text = ONLINE.replace("  student:\n", f"{MORE}  student:\n", 1)
    with pytest.raises(RequestError, match=words) as caught:
        tiny(text.replace("teacher: $teacher", teacher))
    (problem,) = caught.value.problems
    assert problem.path == f"stages.student.{path}"
    assert problem.next_step
