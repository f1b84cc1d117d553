"""Whose loss it is: told from the file, with what is wrong with asking so."""

import pytest

from edgekd.core.errors import RequestError
from edgekd.recommend.subject import losses_of, read_subject

from ..pipeline.conftest import TINY


@pytest.fixture
def read(tmp_path):
    """Return a function from a text and a stage to the subject."""

    def subject(text=TINY, stage=None):
        (tmp_path / "tiny.yaml").write_text(text)
        return read_subject(tmp_path / "tiny.yaml", stage)

    return subject


def test_the_only_one_that_learns_from_a_teacher_with_what_it_rests_on(read):
    found = read()
    assert (found.stage, found.epochs, found.seed) == ("student", 2, 0)
    assert [*found.stages] == ["teacher", "student"]
    tried = losses_of(found, ("pld",)).candidates
    assert [one.method for one in tried] == ["labels alone", "plain KD", "pld", "pld"]
    assert [one.control for one in tried] == [True, True, False, False]
    assert tried[0].sets == {"objective": ["cross_entropy"], "teacher": None}
    with pytest.raises(
        RequestError, match=r"^--only\n  no objective is named 'pdl'.\n  Did you mean"
    ):
        losses_of(found, ("pdl",))


def test_a_loss_that_is_no_control_takes_part_as_it_is_written(read):
    found = read(TINY.replace("[{kind: kd, temperature: 4.0}, cross_entropy]", "[dist]"))
    tried = losses_of(found, ("mixkd",)).candidates
    assert [one.method for one in tried] == ["labels alone", "plain KD", "as written", "mixkd"]


NO_TEACHER = TINY.replace("    teacher: $teacher\n", "").replace(
    "{kind: kd, temperature: 4.0}, ", ""
)
SWEPT = "sweep: {student: {grid: {seed: [1]}}}\n" + TINY
TWO = TINY[: TINY.index("  smaller:")] + (
    "  again: {kind: distill, teacher: $teacher, model: $student, objective: [kd]}\n"
)

ACROSS = TINY.replace(
    "kind: teacher",
    "kind: teacher\n    task: {kind: image_classification, data: {kind: digits, seed: 1}}",
)


@pytest.mark.parametrize(
    ("text", "stage", "message"),
    [
        (NO_TEACHER, None, r"tiny.yaml: stages\n  no stage learns from .*\n  Add one of kind"),
        (TINY, "teacher", "^--stage\n  no stage 'teacher' learns from a teacher.\n  Known: stu"),
        (SWEPT, None, "tiny.yaml:1: sweep\n  a trial makes a sweep of its own.\n  Take sweep out"),
        (
            ACROSS,
            None,
            "stages.teacher.task\n  it is of another task.*hears their.*\n  Compare losses",
        ),
        (TWO, None, "several stages .*: student, again.\n  Name one: --stage"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(read, text, stage, message):
    with pytest.raises(RequestError, match=message):
        read(text, stage)
