import pytest

from edgekd.report.html import to_html
from edgekd.report.markdown import to_markdown
from edgekd.report.sections.contract import MOST_OPEN, gates_table, open_gates
from edgekd.report.shortened import MOST_ROWS, MOST_TRAININGS, left_out, shortened

TARGETS = tuple(f"board-{number}" for number in range(6))


@pytest.fixture(scope="module")
def many(make):
    return make(targets=TARGETS, trials=14)


@pytest.fixture(scope="module")
def part(many):
    return shortened(many)


def test_a_report_that_fits_stays_as_it_is(passing):
    assert shortened(passing) == passing
    assert left_out(passing, passing) == ""


def test_a_large_one_keeps_as_many_rows_and_trainings_as_a_page_bears(many, part):
    (check,), (whole,) = part.checks, many.checks
    assert len(whole.rows) == 6 * 20 > MOST_ROWS
    assert len(check.rows) == MOST_ROWS
    assert {row.program for row in check.rows} == {step.program for step in check.steps}
    assert {row.target for row in check.rows} == {machine.name for machine in check.machines}
    assert len(many.training) > len(part.training) == MOST_TRAININGS


@pytest.mark.parametrize("number", [9, 40])
def test_many_checks_share_the_rows_that_a_page_bears(many, number):
    (check,) = many.checks
    kept = [gate.model_copy(update={"verdict": "pass"}) for gate in check.gates]
    checks = [
        check.model_copy(update={"stage": f"check-{n}", "gates": kept}) for n in range(number)
    ]
    checks[-1] = checks[-1].model_copy(update={"gates": check.gates})
    part = shortened(many.model_copy(update={"checks": checks}))
    assert 0 < sum(len(one.rows) for one in part.checks) <= MOST_ROWS
    assert len(part.checks) == min(number, MOST_ROWS)
    assert part.checks[-1].stage == checks[-1].stage, "its gates are not kept"
    assert all(one.rows for one in part.checks)


def test_what_decides_is_kept(many, part):
    (check,) = part.checks
    programs = {step.program for step in check.steps}
    assert {check.reference, many.headline.program} <= programs
    assert many.headline.target in {machine.name for machine in check.machines}
    fronts = [p.program for one in check.trade_offs for p in one.points if p.on_front]
    assert {*fronts} <= programs


def test_targets_whose_gates_fail_come_before_those_that_keep_them(many):
    (check,) = many.checks
    gates = [
        gate.model_copy(update={"verdict": "fail" if gate.target == TARGETS[-1] else "pass"})
        for gate in check.gates
    ]
    report = many.model_copy(update={"checks": [check.model_copy(update={"gates": gates})]})
    shown = [machine.name for machine in shortened(report).checks[0].machines]
    assert shown == [*TARGETS[:3], TARGETS[-1]]


def test_what_the_shown_programs_rest_on_is_trained_first_in_sight(part):
    trained = {one.stage for one in part.training}
    shown = {step.program for step in part.checks[0].steps}
    tried = {name.replace("onnx", "student") for name in shown if name.startswith("onnx.")}
    assert tried
    assert tried <= trained


def test_the_markdown_says_how_much_is_in_full(many, part):
    said = left_out(many, part)
    assert said.startswith("In full: 4 of 6 targets, 8 of 20 programs and 12 of ")
    assert said in to_markdown(many)


def test_so_does_the_page_which_gives_verdicts_in_words_to_readers_who_do_not_see(
    passing, monkeypatch
):
    monkeypatch.setattr("edgekd.report.shortened.MOST_ROWS", 2)
    monkeypatch.setattr("edgekd.report.shortened.MOST_TRAININGS", 1)
    monkeypatch.setattr("edgekd.report.sections.contract.MOST_PLACES", 1)
    page = to_html(passing)
    assert "In full: 2 of 6 programs and 1 of 3 trainings." in page
    assert page.count('✓</span> <span class="unseen">pass</span>') == 2


def test_the_contract_of_many_is_one_verdict_for_each_program_on_each_target(many):
    (check,) = many.checks
    table = gates_table(check)
    assert table.head == ("Program", *TARGETS)
    assert len(table.rows) == 16
    worst = {"fail": 0, "inconclusive": 1, "pass": 2}
    for program, *cells in table.rows:
        for target, cell in zip(TARGETS, cells, strict=True):
            gates = [g for g in check.gates if (g.program, g.target) == (program.text, target)]
            assert cell.verdict == min((gate.verdict for gate in gates), key=worst.get)
    for limit in ("Accuracy lost against teacher ≤ 5 pt", "Latency p90 ≤ 0.05 ms"):
        assert limit in table.title


def test_that_verdict_does_not_hide_how_a_latency_was_taken(many):
    (check,) = many.checks
    machines = [one.model_copy(update={"marks": ["emulated"]}) for one in check.machines]
    rows = [row.model_copy(update={"valid": row.program != "onnx"}) for row in check.rows]
    table = gates_table(check.model_copy(update={"machines": machines, "rows": rows}))
    assert table.head[1] == f"{TARGETS[0]} (emulated)"
    assert {cell.mark for name, *cells in table.rows for cell in cells if name.text == "onnx"} == {
        "invalid"
    }


def test_reasons_and_places_are_told_up_to_a_number_that_a_reader_takes_in(many):
    (check,) = many.checks
    told = [line.text for line in open_gates(check)]
    assert all(text.count(" target") <= MOST_OPEN for text in told)
    latency = next(text for text in told if text.startswith("Latency p90 of onnx on 5 targets, "))
    assert f"onnx.{MOST_OPEN - 2} on 5 targets and 4 more programs: " in latency
    gates = [gate.model_copy(update={"reason": f"{n}"}) for n, gate in enumerate(check.gates)]
    lines = open_gates(check.model_copy(update={"gates": gates}))
    assert len(lines) == MOST_OPEN + 1
    assert lines[-1].text.endswith("more in the JSON")
