"""The command doctor: how findings are told."""

import json

import pytest

from edgekd.cli import doctor
from edgekd.cli.checks.finding import fine, hint, wrong


@pytest.fixture
def found(monkeypatch):
    """Return a function that makes up what is found."""
    return lambda *checks: monkeypatch.setattr(doctor, "checks", lambda _: checks)


def test_hints_are_told_and_let_it_end_well(found, tmp_path, capsys):
    found(lambda: [fine("a", "1")], lambda: [hint("b", "2", "do this")])
    assert doctor.examine(tmp_path, as_json=False) == 0
    assert capsys.readouterr().out == "  ok     a: 1\n  hint   b: 2\n         do this\n"


def test_what_is_wrong_ends_with_2_and_its_cure(found, tmp_path, capsys):
    found(lambda: [wrong("a", "1", "mend it")])
    assert doctor.examine(tmp_path, as_json=False) == 2
    assert capsys.readouterr().out == "  WRONG  a: 1\n         mend it\n"


def test_json_says_the_same(found, tmp_path, capsys):
    found(lambda: [wrong("a", "1", "mend it")])
    assert doctor.examine(tmp_path, as_json=True) == 2
    (row,) = json.loads(capsys.readouterr().out)
    assert row == {"what": "a", "level": "wrong", "found": "1", "cure": "mend it", "ok": False}


def test_a_check_that_breaks_is_a_finding_and_hides_no_other(found, tmp_path, capsys):
    def broken():
        raise OSError("no /proc here")

    found(broken, lambda: [fine("a", "1")])
    assert doctor.examine(tmp_path, as_json=False) == 2
    said = capsys.readouterr().out
    assert "WRONG  broken: OSError: no /proc here" in said
    assert "ok     a: 1" in said
