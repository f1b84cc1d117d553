"""What a comparison of seeds, controls and trials says, and what it does not."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_evidence import ORIGIN

from edgekd.core.artifact import Manifest
from edgekd.core.member import Member
from edgekd.core.quantity import Quantity
from edgekd.ops.paired import holm, paired_t
from edgekd.report.comparison import comparisons
from edgekd.report.html import to_html
from edgekd.report.markdown import to_markdown
from edgekd.report.sections.comparison import brief_table, comparison_table, remarks


def manifest(name, seed, score):
    facts = {"measure": "accuracy", "test": Quantity(score, "share", n=360).as_dict()}
    return Manifest("ab", name, "distill", "model", {"seed": seed}, {}, facts, {},
                    "2026-11-23T09:00:00+00:00", 1.0, 1.0, {})  # fmt: skip


def compare(failed=(), **arms):
    """Return the comparison of arms, each with its score by seed; None where it failed."""
    stages, members, why = {}, {}, {}
    for number, (arm, scores) in enumerate(arms.items()):
        first = "student" if number == 0 else f"student.{arm}"
        for seed, score in enumerate(scores):
            name = first if seed == 0 else f"{first}.seed-{seed}"
            members[name] = Member("student", first, arm if number else "", arm == "no_kd")
            if score is None:
                why[name] = "training diverged."
            else:
                stages[name] = manifest(name, seed, score)
    (found,) = comparisons(stages, members, why | dict(failed))
    return found


def shown(found):
    return [arm.words for arm in found.arms]


def test_a_difference_that_three_seeds_agree_on_is_shown_with_its_p():
    found = compare(student=[0.90, 0.91, 0.92], no_kd=[0.80, 0.82, 0.81])
    assert shown(found) == ["", "10.0 pt lower (p = 0.003, 3 seeds)"]
    first, control = found.arms
    assert str(first.mean) == "91.0 % [88.5, 93.5]"
    assert str(first.deviation) == "1.00 pt"
    assert str(control.difference) == "-10.0 pt [-12.5, -7.52]"
    assert (first.difference, first.p) == (None, None)
    assert control.control
    assert control.difference.n == 3


def test_a_difference_that_chance_makes_too_is_none_shown():
    found = compare(student=[0.90, 0.95, 0.92], no_kd=[0.91, 0.92, 0.92])
    assert re.fullmatch(r"no difference shown \(p = 0\.\d\d, 3 seeds\)", shown(found)[1])


WORDS = {
    "one seed": ([0.9], [0.8], "10.0 pt lower with one seed, which tests nothing"),
    "one seed, equal": ([0.9], [0.9], "the same with one seed, which tests nothing"),
    "equal": ([0.9, 0.8], [0.9, 0.8], "the same with each of 2 seeds: nothing to test"),
    "always by as much": (
        [0.9, 0.8], [0.7, 0.6], "20.0 pt lower with each of 2 seeds: nothing to test",
    ),
    "sure": ([0.5, 0.5001, 0.5002], [0.9, 0.9001, 0.90021], "40.0 pt higher (p < 0.001, 3 seeds)"),
    "all failed": ([0.9], [None], "failed"),
}  # fmt: skip


@pytest.mark.parametrize(("ones", "others", "words"), WORDS.values(), ids=WORDS)
def test_what_cannot_be_tested_is_not_called_different(ones, others, words):
    assert shown(compare(student=ones, no_kd=others))[1] == words


def test_only_seeds_that_both_have_are_paired():
    found = compare(student=[0.90, 0.91, 0.92], no_kd=[0.80, None, 0.81])
    control = found.arms[1]
    assert control.difference.n == 2
    assert control.p == paired_t([0.80, 0.81], [0.90, 0.92]).p
    assert [s.failure for s in control.scores] == ["", "training diverged.", ""]
    assert str(comparison_table(found).rows[1][1]) == "2"


def test_nothing_is_compared_with_a_first_that_failed():
    found = compare(student=[None, None], no_kd=[0.8, 0.9])
    assert shown(found) == ["failed", ""]


def test_several_tests_are_corrected_and_it_is_said():
    arms = {"student": [0.90, 0.91, 0.92], "no_kd": [0.80, 0.82, 0.81], "2": [0.85, 0.9, 0.86]}
    found = compare(**arms)
    raw = [paired_t(arms[name], arms["student"]).p for name in ("no_kd", "2")]
    assert [arm.p for arm in found.arms[1:]] == holm(raw)
    assert found.tests == 2
    assert "The p values are corrected for 2 tests at once (Holm)" in remarks(found)[-1]
    assert "(Holm)" not in " ".join(remarks(compare(student=[0.9, 0.8], no_kd=[0.7, 0.5])))


def test_one_seed_each_is_said_to_tell_nothing_of_chance():
    assert "One seed each" in remarks(compare(student=[0.9], no_kd=[0.8]))[-1]


SCORES = st.lists(st.integers(0, 360), min_size=3, max_size=3)


@given(SCORES, SCORES)
def test_a_difference_is_claimed_only_where_the_interval_leaves_out_0(ones, others):
    found = compare(student=[v / 360 for v in ones], no_kd=[v / 360 for v in others])
    control = found.arms[1]
    claimed = control.p is not None and "shown" not in control.words
    low, high = control.difference.low, control.difference.high
    assert claimed == (control.p is not None and not low <= 0 <= high)
    assert 0 <= found.arms[0].mean.low <= found.arms[0].mean.high <= 1


def test_a_group_without_scores_on_the_test_split_is_not_compared():
    plain = manifest("int8", 0, 0.9)
    bare = Manifest(**{**vars(plain), "facts": {"measure": "accuracy"}})
    members = {"int8.1": Member("int8", "int8.1"), "int8.2": Member("int8", "int8.2")}
    assert comparisons({"int8.1": bare, "int8.2": bare}, members, {}) == []


def test_one_member_of_a_group_that_is_made_alone_is_compared_with_nothing():
    members = {"student.seed-2": Member("student", "student", words="seed 2 of student")}
    assert comparisons({"student.seed-2": manifest("student", 2, 0.9)}, members, {}) == []


def test_page_and_markdown_show_every_arm_and_seed(passing):
    found = compare(student=[0.90, 0.91, 0.92], no_kd=[0.80, None, 0.81])
    report = passing.model_copy(update={"comparisons": [found]})
    for text in (to_html(report), to_markdown(report)):
        assert "no difference shown" not in text
        assert "10.5 pt lower" in text
        assert "training diverged" in text
        assert "90.0 %" in text
    page = to_html(report)
    assert page.count("What was made from student</title>") == 2, "drawn wide and narrow"
    assert 'href="#comparison"' in page
    assert 'href="#comparison"' not in to_html(passing)


def test_a_report_names_what_failed_and_compares_the_rest(make):
    members = {
        "student": Member("student", "student"),
        "student.seed-1": Member("student", "student"),
        "student.no_kd": Member("student", "student.no_kd", "no_kd", control=True),
    }
    failed = {"student.seed-1": "the worker process ended."}
    report = make(origin=replace(ORIGIN, members=members, failed=failed))
    assert [(one.stage, one.why) for one in report.failed] == [*failed.items()]
    assert report.comparisons == [], "these stages were not scored on the test split"
    assert "student.seed-1: the worker process ended." in to_html(report)
    assert "- Failed: student.seed-1: the worker process ended." in to_markdown(report)


def test_a_terminal_has_one_line_per_arm():
    table = brief_table(compare(student=[0.90, 0.91, 0.92], no_kd=[0.80, 0.82, 0.81]))
    assert [str(row[0]) for row in table.rows] == ["student", "no_kd"]
