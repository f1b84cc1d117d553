"""JUnit XML as CI systems read it."""

import json
import re
from xml.etree import ElementTree

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgekd.report.junit import to_junit
from edgekd.report.schema.report import Report

SUITE = {"name", "package", "id", "hostname", "timestamp", "tests", "failures", "errors",
         "skipped", "time"}  # fmt: skip
CASE = {"name", "classname", "time"}


def check_form(text):
    """Assert what both schemas in common use ask for: Ant's (windyroad) and Jenkins' junit-10."""
    root = ElementTree.fromstring(text)
    assert (root.tag, root.attrib) == ("testsuites", {})
    for number, suite in enumerate(root):
        assert (suite.tag, {*suite.attrib}) == ("testsuite", SUITE)
        assert suite.get("id") == str(number)
        assert suite.get("name")
        assert suite.get("hostname")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp"))
        tags = [one.tag for one in suite]
        cases = suite.findall("testcase")
        assert tags == ["properties", *["testcase"] * len(cases), "system-out", "system-err"]
        assert all({*one.attrib} == {"name", "value"} and one.get("name") for one in suite[0])
        for case in cases:
            assert {*case.attrib} == CASE
            assert len(case) <= 1
        for tag, counted in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            found = suite.findall(f"testcase/{tag}")
            assert len(found) == int(suite.get(counted))
            assert all(one.get("message") for one in found)
            assert tag == "skipped" or all(one.get("type") for one in found)
        assert len(cases) == int(suite.get("tests"))
    return root


def edited(report, change):
    document = json.loads(report.model_dump_json())
    change(document)
    return Report.model_validate(document)


def test_every_gate_is_a_test_with_what_was_measured(failing):
    root = check_form(to_junit(failing))
    assert [suite.get("name") for suite in root] == ["check on cpu", "check on raspberry-pi-5"]
    (check,) = failing.checks
    for suite, machine in zip(root, check.machines, strict=True):
        gates = [gate for gate in check.gates if gate.target == machine.name]
        cases = suite.findall("testcase")
        assert [case.get("name") for case in cases] == [f"{g.name} {g.limit}" for g in gates]
        for case, gate in zip(cases, gates, strict=True):
            assert case.get("classname") == f"quickstart.check on {machine.name}.{gate.program}"
            assert (len(case) == 0) == (gate.verdict == "pass")
            if len(case):
                assert case[0].get("type") == gate.verdict
                assert str(gate.measured) in case[0].get("message")
            assert str(gate.measured) in suite.find("system-out").text
        facts = {one.get("name"): one.get("value") for one in suite.find("properties")}
        assert facts == machine.facts


@pytest.mark.parametrize(("allowed", "tag"), [(False, "failure"), (True, "skipped")])
def test_an_inconclusive_gate_fails_unless_the_file_allows_it(allowed, tag, failing):
    report = edited(failing, lambda d: d["checks"][0].update(inconclusive_allowed=allowed))
    open_ones = sum(gate.verdict == "inconclusive" for gate in report.checks[0].gates)
    found = [
        one
        for one in check_form(to_junit(report)).iter(tag)
        if one.get("message").startswith("inconclusive")
    ]
    assert len(found) == open_ones > 0


def test_programs_and_stages_that_failed_are_errors(passing):
    def fail(document):
        document["checks"][0]["rows"][-1]["failure"] = "was killed\nout of memory"
        document["failed"] = [{"stage": "student.2", "why": "diverged"}]

    root = check_form(to_junit(edited(passing, fail)))
    words = [one.get("message") for one in root.iter("error")]
    assert words == ["could not be measured: was killed\nout of memory", "failed: diverged"]
    assert root[-1].get("name") == "without a result"


NAMES = st.text(
    st.one_of(st.sampled_from("<>&\"' \t\n\x00\x1b\x85\u2028\ufffe\ud800]]>"), st.characters()),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@example(name="\r\n", program="]]>", reason="a\rb\r\n", fact="\x00")
@given(name=NAMES, program=NAMES, reason=NAMES, fact=NAMES)
def test_odd_names_are_read_back_as_they_were_but_for_what_xml_cannot_hold(
    name, program, reason, fact, passing
):
    gate = (
        passing.checks[0]
        .gates[0]
        .model_copy(update={"program": program, "reason": reason, "verdict": "fail"})
    )
    machine = passing.checks[0].machines[0].model_copy(update={"facts": {fact: fact}})
    check = passing.checks[0].model_copy(
        update={"gates": [gate], "machines": [machine], "rows": []}
    )
    text = to_junit(passing.model_copy(update={"name": name, "checks": [check]}))
    root = check_form(text.encode())
    assert root[0].get("package") == plain(name)
    said = root[0].find("testcase/failure")
    shown = f"({plain(reason)})" if reason else ""
    assert said.get("message").endswith(shown)
    assert said.text.endswith(shown.replace("\r\n", "\n").replace("\r", "\n"))
    assert (
        root[0]
        .find("testcase")
        .get("classname")
        .endswith(f".{plain(program)}" if program else "cpu")
    )
    assert root[0].find("properties/property").get("value") == plain(fact)


def plain(text):
    """Return text with what XML 1.0 cannot hold written out, char by char."""

    def held(c):
        return (
            c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c >= "\U00010000"
        )

    return "".join(c if held(c) else ascii(c)[1:-1] for c in text)


def test_the_same_report_gives_the_same_bytes(passing):
    assert to_junit(passing) == to_junit(passing)
