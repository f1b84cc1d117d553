"""The notes of a measurement are in sight of its numbers."""

from types import SimpleNamespace

from edgekd.report.sections.conditions import conditions, noted


def check(*rows):
    return SimpleNamespace(
        rows=[SimpleNamespace(program=p, target=t, notes=list(n)) for p, t, *n in rows]
    )


def test_a_note_of_all_programs_stands_once():
    assert conditions(check(("a", "cpu", "quick"), ("b", "cpu", "quick"))) == ["quick"]


def test_numbers_that_differ_become_a_range():
    notes = conditions(check(("a", "cpu", "had 49% of a core"), ("b", "cpu", "had 9% of a core")))
    assert notes == ["had 9 to 49% of a core"]


def test_a_note_of_some_programs_names_them():
    assert conditions(check(("a", "cpu", "torch"), ("b", "cpu"))) == ["a: torch"]


def test_several_targets_are_named():
    assert conditions(check(("a", "cpu", "x"), ("a", "pi"))) == ["cpu: x"]


def test_no_notes_no_lines():
    assert conditions(check(("a", "cpu"))) == []


def test_of_one_note_all_its_programs_are_told_together():
    rows = check(("a", "cpu", "of 3", "alone"), ("b", "cpu", "of 2"), ("c", "cpu")).rows
    assert noted(rows) == [("a and b", "of 2 to 3"), ("a", "alone")]
