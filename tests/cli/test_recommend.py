"""`edgekd recommend`: a trial of one loss beside its controls, what it prints and writes."""

import json
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from types import SimpleNamespace

import pytest

from edgekd.cli import recommend as command
from edgekd.cli.recommend import _lines, _short, recommend_and_write
from edgekd.core.errors import RequestError, RunInterruptedError
from edgekd.pipeline.resolve import resolve
from edgekd.pipeline.resolved import Request
from edgekd.recommend.asked import Asked, read_budget, read_out
from edgekd.recommend.candidates import Candidate, Tried
from edgekd.recommend.schedule import Round
from edgekd.recommend.trial import Trial
from edgekd.recommend.verdict import Learned, judge

TEXT = """\
name: small
threads: 1
task: {kind: image_classification, data: digits, train_examples: 64}
stages:
  teacher: {kind: teacher, model: {kind: depthwise, width: 4, blocks: [1]}, train: {epochs: 1}}
  student: # mine
    kind: distill
    teacher: $teacher
    model: {kind: depthwise, width: 2, blocks: [1]}
    objective: [kd, cross_entropy]
    train: {epochs: 1, batch_size: 32}
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Return the document that a trial of one loss printed, and its folder."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "small.yaml").write_text(TEXT)
    with redirect_stdout(StringIO()) as out:
        code = recommend_and_write(asked(folder), folder / "s", folder / "r", 1, as_json=True)
    assert code == 0
    return json.loads(out.getvalue()), folder


def asked(folder):
    file = folder / "small.yaml"
    budget, out = read_budget("15epochs"), read_out(file, None, force=False)
    return Asked(file, None, budget, ("mixkd",), out)


def test_a_program_reads_one_document(done):
    found, _ = done
    (held,) = found["rounds"]
    assert [one["method"] for one in held["losses"]] == ["labels alone", "plain KD", "mixkd"]
    assert all(len(one["scores"]) == 5 for one in held["losses"])
    assert found["recommended"]["loss"] in {one["loss"] for one in held["losses"]}
    assert {test["loss"] for test in found["tests"]} == {"kd + cross_entropy", "mixkd"}


def test_the_file_that_it_wrote_says_why_and_learns_so(done):
    found, folder = done
    text = (folder / "small-recommended.yaml").read_text()
    assert f"{found['recommended']['method']}: {found['why']}" in text
    assert "  student: # mine\n" in text
    student = resolve(Request(str(folder / "small-recommended.yaml"))).stages[-1]
    terms = [
        {"kind": t} if isinstance(t, str) else t for t in found["recommended"]["sets"]["objective"]
    ]
    assert [term["kind"] for term in student.options["objective"]] == [t["kind"] for t in terms]


def test_interrupted_it_says_that_the_same_command_goes_on(tmp_path, monkeypatch):
    def stop(*_):
        raise RunInterruptedError("")

    (tmp_path / "small.yaml").write_text(TEXT)
    monkeypatch.setattr(command, "hold", stop)
    with pytest.raises(RunInterruptedError, match="kept, and the same command goes on") as ended:
        recommend_and_write(asked(tmp_path), tmp_path / "s", tmp_path / "r", 1, as_json=True)
    assert ended.value.exit_code == 130
    assert not (tmp_path / "small-recommended.yaml").exists()


def test_where_nothing_can_be_tried_every_reason_is_told(tmp_path):
    (tmp_path / "small.yaml").write_text(TEXT)
    wanted = replace(asked(tmp_path), only=("dho",))
    with pytest.raises(RequestError, match="nothing besides the controls") as found:
        recommend_and_write(wanted, tmp_path / "s", tmp_path / "r", 1, as_json=True)
    assert "dho: it teaches a student of its own kind" in str(found.value)


def test_people_see_a_table_the_reason_and_what_was_left_out():
    controls = [arm("labels alone", "cross_entropy", 0.5, control=True)]
    learned = [*controls, arm("kd", "kd", 0.9), Learned(loss("pld", "pld"), {}, 0.0, "diverged.")]
    tried = Tried([one.candidate for one in learned], {"dho": "its student is another"})
    shown = "\n".join(
        _lines(
            tried, Trial("share", "accuracy", [(Round(2, 3, 5), learned)]), judge(learned, "share")
        )
    )
    table, rest = shown.split("  all rounds: ")
    head, best, base = (line.split() for line in table.strip().splitlines())
    assert head == ["method", "loss", "accuracy", "against", "labels", "alone", "cost"]
    assert best[:4] == ["kd", "kd", "90.0", "%"]
    assert best[-1] == "1.00x"
    assert base[0] == "labels"
    assert rest.startswith("15s of processor time\n")
    assert "  pld failed: diverged." in rest
    assert "  not tried: dho: its student is another" in rest
    assert "Recommended: kd. Why: it is 40 points higher (p = " in rest


@pytest.mark.parametrize(("epochs", "told"), [(2, ["2 of the file's 4 epochs"]), (4, [])])
def test_a_last_round_that_is_shorter_than_the_file_is_told(epochs, told):
    held = Trial("share", "accuracy", [(Round(2, epochs, 5), [])])
    lines = [*_short(held, SimpleNamespace(epochs=4))]
    assert len(lines) == len(told)
    assert all(words in line for words, line in zip(told, lines, strict=True))


def loss(method, kind, *, control=False):
    return Candidate(method, {"objective": [kind]}, control)


def arm(method, kind, mean, *, control=False):
    wobble = (0.01, -0.01, 0.0) if control else (0.0, 0.01, -0.01)
    scores = {seed: mean + w for seed, w in enumerate(wobble)}
    return Learned(loss(method, kind, control=control), scores, 2.5)
