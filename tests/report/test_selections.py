"""What was labelled, as the report shows it."""

import pytest

from edgekd.core.artifact import Manifest
from edgekd.core.quantity import Quantity
from edgekd.report.markdown import to_markdown
from edgekd.report.sections.labels import labels_table
from edgekd.report.selections import selections


def manifest(name, facts, **identity):
    return Manifest("ab", name, "", "", {"seed": 3, **identity}, {}, facts, {},
                    "2026-11-23T09:10:00+00:00", 1.0, 1.0, {})  # fmt: skip


def picked(name, classes, **about):
    facts = {"strategy": "pcoreset", "taken": [7, 1, 30], "labelled": 13, "left": 1077}
    return manifest(name, {"selection": facts | {"classes": classes} | about})


@pytest.fixture
def found():
    score = Quantity(0.5, "share", 0.4, 0.6, 90).as_dict()
    learner = {"options": {"train": {"labelled": "$picked"}}}
    stages = [
        picked("picked", {"cat": 1, "dog": 2}),
        picked("picked.seed-4", {"cat": 3}, taken=[5, 2, 9]),
        picked("many", {str(number): 1 for number in range(23)}, strategy="random"),
        manifest("student", {"test": score}, **learner),
        manifest("student.no_kd", {"test": score}, **learner),
        manifest("teacher", {"test": score}, options={"train": None}),
        manifest("given", {"test": score}, options={}),
    ]
    return list(selections({stage.stage: stage for stage in stages}))


def test_a_selection_is_shown_with_its_classes_and_what_learned_from_it(found):
    assert [(one.stage, [*one.learned]) for one in found] == [
        ("picked", ["student", "student.no_kd"]), ("picked.seed-4", []), ("many", []),
    ]  # fmt: skip
    first, _, many = labels_table(found).rows
    assert [str(cell) for cell in first] == [
        "picked", "pcoreset", "cat, dog x 2", "13", "1,077",
        "student: 50.0 % [40.0, 60.0], student.no_kd: 50.0 % [40.0, 60.0]",
    ]  # fmt: skip
    assert str(many[2]).endswith("19 and 3 more classes")
    assert str(many[5]) == "—"


def test_later_seeds_are_among_the_ids_alone_and_nothing_is_shown_of_no_selection(found, passing):
    text = to_markdown(passing.model_copy(update={"selections": found}))
    assert "| picked | pcoreset |" in text
    assert "| picked.seed-4 |" not in text
    assert "picked: 7 1 30\npicked.seed-4: 5 2 9" in text
    assert "What was labelled" not in to_markdown(passing)
