"""Where the time goes: sums by operator and by module, and how they are shown."""

import pytest

from edgekd.core.results import Measurement, OperatorTime, Profile
from edgekd.report.html import to_html
from edgekd.report.markdown import to_markdown
from edgekd.report.operators import MOST, OTHERS, operator_times


def times(*rows):
    operators = [
        OperatorTime(operator=operator, module=module, delegated=delegated, calls=calls, us=us)
        for operator, module, delegated, calls, us in rows
    ]
    profile = Profile(runs=20, whole_us=150.0, operators=operators)
    return operator_times(
        Measurement(program="onnx", target="cpu", quantities={}, restarts=[], samples="",
                    valid=True, notes=[], profile=profile)
    )  # fmt: skip


ROWS = (("Conv", "stem", None, 1, 60.0), ("Conv", "body", None, 2, 20.0),
        ("Add", "body", None, 1, 15.0), ("Reorder", "", None, 1, 5.0))  # fmt: skip


def test_times_are_added_up_by_operator_and_by_module_the_slowest_first():
    found = times(*ROWS)
    assert (found.inside_us, found.whole_us, found.delegated) == (100, 150, None)
    assert [(one.name, one.calls, one.us, one.up_to) for one in found.by_operator] == [
        ("Conv", 3, 80, pytest.approx(0.8)), ("Add", 1, 15, pytest.approx(0.95)),
        ("Reorder", 1, 5, pytest.approx(1)),
    ]  # fmt: skip
    assert [(one.name, one.us) for one in found.by_module] == [("stem", 60), ("body", 35), ("", 5)]


def test_a_delegate_has_its_share_and_its_operators_are_told_from_kernels():
    found = times(("Add", "", True, 1, 30.0), ("Add", "", False, 1, 70.0))
    assert found.delegated == pytest.approx(0.3)
    assert [(one.name, one.delegated) for one in found.by_operator] == [
        ("Add", False), ("Add", True),
    ]  # fmt: skip
    assert found.by_module == []


def test_the_rest_of_a_large_network_is_one_row_and_nothing_is_lost():
    found = times(*(("Conv", f"m{i}", None, 1, 1.0) for i in range(100)))
    assert [one.name for one in found.by_module[MOST - 1 :]] == [f"m{MOST - 1}", OTHERS]
    assert found.by_module[-1].us == 100 - MOST
    assert found.by_module[-1].up_to == pytest.approx(1)


def test_the_report_shows_bars_with_shares_so_far_and_a_table(passing):
    assert "Where the time goes" not in to_html(passing)
    (check,) = passing.checks
    shown = [times(*ROWS), times(("Mean", "", False, 1, 1.0)).model_copy(update={"program": "pte"})]
    report = passing.model_copy(update={"checks": [check.model_copy(update={"operators": shown})]})
    page, text = to_html(report), to_markdown(report)
    assert page.index('id="operators"') > page.index('id="latency"')
    assert "Time of onnx on cpu by module" in page
    assert "| Conv | 3 | 80.0 | 80.0 | 80.0 |" in text
    assert "| Add | 1 | 15.0 | 15.0 | 95.0 |" in text
    assert "no module that is known" in text
    assert "Mean (portable kernel)" in text
    assert "0.100 ms in operators, 0.0500 ms between them" in text


def test_of_many_programs_the_candidates_and_the_reference_are_drawn(passing):
    (check,) = passing.checks
    more = [times(*ROWS).model_copy(update={"program": step.program}) for step in check.steps]
    steps = check.steps + [
        check.steps[-1].model_copy(update={"program": f"more{i}", "role": "along"})
        for i in range(9)
    ]
    more += [times(*ROWS).model_copy(update={"program": f"more{i}"}) for i in range(9)]
    full = check.model_copy(update={"operators": more, "steps": steps})
    text = to_markdown(passing.model_copy(update={"checks": [full]}))
    assert "Time of teacher on cpu by operator" in text
    assert "Time of pte on cpu by operator" in text
    assert "Time of more8 on cpu by operator" not in text
    assert "Of 9 more programs the JSON of this report has the same" in text
