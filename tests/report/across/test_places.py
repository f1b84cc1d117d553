from dataclasses import replace

from edgekd.core.artifact import digest_file
from edgekd.report.across.places import only, places

from .conftest import row, stage


def renamed(old, new):
    def change(document):
        check = document["checks"][0]
        for one in (*check["steps"], *check["rows"], *check["gates"]):
            if one["program"] == old:
                one["program"] = new

    return change


def test_programs_are_matched_by_name_on_each_target_candidates_first(pair):
    found = places(pair())
    assert [(place.program, place.target) for place in found] == [
        (name, "cpu") for name in ("onnx", "pte", "teacher", "student", "pruned", "recovered")
    ]
    assert all(place.same_program and place.same_examples for place in found)


def test_the_one_program_of_a_role_that_has_another_name_is_the_same_station(pair):
    found = places(pair(renamed("onnx", "int8_onnx")))
    place = next(place for place in found if place.program == "onnx")
    assert [one.program for one in place.lines[0].seen] == ["onnx", "int8_onnx"]
    assert [*only(pair(renamed("onnx", "int8_onnx")))] == []


def test_a_program_is_matched_with_one_of_its_own_role_alone(pair):
    def both(document):
        renamed("onnx", "int8_onnx")(document)
        renamed("recovered", "again")(document)

    told = {place.program: place.lines[0].seen[1].program for place in places(pair(both))}
    assert (told["onnx"], told["recovered"]) == ("int8_onnx", "again")


def test_two_that_might_be_meant_are_not_guessed(pair):
    def both(document):
        renamed("onnx", "first")(document)
        renamed("pte", "second")(document)

    runs = pair(both)
    assert {place.program for place in places(runs)} == {
        "teacher", "student", "pruned", "recovered",
    }  # fmt: skip
    assert [*only(runs)] == [
        "Not in B: onnx on cpu, pte on cpu of A.",
        "Not in A: first on cpu, second on cpu of B.",
    ]


def moved(kind):
    """Return what renames the check, as one of a kind."""

    def change(document):
        stage(document, "check").update(name="again", kind=kind)
        document["checks"][0]["stage"] = "again"

    return change


def test_the_only_check_of_another_name_is_the_same_station_but_a_benchmark_is_none(pair):
    assert len(places(pair(moved("validate")))) == 6
    runs = pair(moved("bench"))
    assert places(runs) == []
    assert [line.partition(":")[0] for line in only(runs)] == ["Not in B", "Not in A"]


def test_other_data_and_another_split_are_other_examples(pair):
    def other_files(document):
        stage(document, "check")["identity"]["files"] = {"0:test.csv": "1"}

    def other_split(document):
        document["checks"][0]["split"] = "validation"

    for change in (other_files, other_split):
        assert not any(place.same_examples for place in places(pair(change)))


def test_a_gate_changes_with_its_limit_and_with_its_verdict(pair):
    def change(document):
        gates = document["checks"][0]["gates"]
        next(g for g in gates if g["program"] == "onnx")["limit"] = "<= 0.04"
        next(g for g in gates if g["program"] == "pte")["verdict"] = "fail"

    changed = {
        (place.program, gate.gate)
        for place in places(pair(change))
        for gate in place.gates
        if gate.changed
    }
    assert changed == {("onnx", "accuracy_drop"), ("pte", "accuracy_drop")}


def test_a_gate_of_one_run_alone_is_shown_with_what_the_other_has(pair):
    def change(document):
        check = document["checks"][0]
        check["gates"] = [gate for gate in check["gates"] if gate["name"] != "size_mib"]

    place = next(place for place in places(pair(change)) if place.program == "onnx")
    gate = next(gate for gate in place.gates if gate.gate == "size_mib")
    assert [one.verdict for one in gate.judged] == ["pass", None]


def test_the_command_that_measures_in_turns_names_the_files_that_were_measured(pair):
    runs = pair()
    for run in runs:
        run.folder.mkdir()
        (run.folder / "onnx.onnx").write_bytes(run.letter.encode())
    told = {place.program: place.in_turns for place in places(runs)}
    assert (
        told["onnx"] == "edgekd bench NEW --against OLD --target cpu"
    )  # other bytes lie there now

    for run in runs:
        step = next(one for one in run.report.checks[0].steps if one.program == "onnx")
        step.__dict__["digest"] = digest_file(run.folder / "onnx.onnx")
    told = {place.program: place.in_turns for place in places(runs)}
    old, new = (run.folder / "onnx.onnx" for run in runs)
    assert told["onnx"] == f"edgekd bench {new} --against {old} --target cpu"
    assert told["pte"] == "edgekd bench NEW --against OLD --target cpu"
    assert told["teacher"] == ""


def test_an_emulated_target_has_no_command_and_no_times(pair):
    def emulate(document):
        document["checks"][0]["machines"][0]["emulated"] = True

    runs = pair(emulate)
    runs = [replace(run, report=runs[1].report) for run in runs]
    assert {place.in_turns for place in places(runs)} == {""}


def test_a_failed_program_is_marked_and_not_compared(pair):
    def fail(document):
        row(document).update(
            failure="was killed", quantities={"size_mib": row(document)["quantities"]["size_mib"]}
        )

    place = next(place for place in places(pair(fail)) if place.program == "onnx")
    line = next(line for line in place.lines if line.measure == "accuracy")
    assert (line.seen[1].marks, line.differences[0].words) == (["failed"], "B failed")
