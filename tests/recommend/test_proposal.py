"""What is written says what was tried, and the user's comments where that can be."""

from edgekd.pipeline.document import parse_document
from edgekd.recommend.proposal import proposal

PLAIN = """\
name: mine # my own
stages:
  student:
    kind: distill # the small one
    teacher: $teacher
    objective:
      - kd # as Hinton
    train: {epochs: 4}
  next: {kind: prune, model: $student}
"""
MERGED = """\
name: mine # my own
stages:
  student: &base
    kind: distill
    teacher: $teacher
    objective: [kd]
  again:
    <<: *base
    seed: 3
"""
KD = {"objective": [{"kind": "kd", "temperature": 2}]}
LABELS = {"objective": ["cross_entropy"], "teacher": None}


def said(text):
    return parse_document(text, "it").value["stages"]


def test_only_the_loss_changes_and_comments_stay(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(PLAIN)
    text = proposal(file, "student", KD, "kd: it is better")
    assert text.startswith("# student: chosen by `edgekd recommend mine.yaml`, ")
    assert "#   kd: it is better\nname: mine # my own\n" in text
    assert "    kind: distill # the small one\n" in text
    assert "    objective: [{kind: kd, temperature: 2}]\n" in text
    before, after = said(PLAIN), said(text)
    assert after.pop("student") == before.pop("student") | {
        "objective": ({"kind": "kd", "temperature": 2},)
    }
    assert after == before


def test_labels_alone_have_no_teacher(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(PLAIN)
    student = said(proposal(file, "student", LABELS, "why"))["student"]
    assert student["objective"] == ("cross_entropy",)
    assert "teacher" not in student


def test_stages_that_take_parts_over_stay_as_they_were(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(MERGED)
    after = said(proposal(file, "student", LABELS, "why"))
    assert after["student"] == {"kind": "distill", "objective": ("cross_entropy",)}
    assert after["again"] == said(MERGED)["again"]
    after = said(proposal(file, "again", LABELS, "why"))
    assert after["student"] == said(MERGED)["student"]
    assert "teacher" not in after["again"]
