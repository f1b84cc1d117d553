from dataclasses import replace

from edgekd.report.across.build import compare_runs

from .conftest import row, stage


def compared(runs):
    return compare_runs([(run.folder, run.report) for run in runs])


def later(document):
    document["checks"][0]["machines"][0]["measured_at"] = "2026-11-24T09:07:12+00:00"


def test_runs_that_do_not_differ_are_said_not_to(pair):
    found = compared(pair(later))
    assert found.sentences == ["B against A: no difference shown in quality or size."]
    assert found.lost == []


def test_what_clearly_differs_is_said_with_its_program_and_a_time_never(pair):
    def worse(document):
        later(document)
        of = row(document)["quantities"]
        of["accuracy"] |= {"value": 0.8, "low": 0.76, "high": 0.84}
        of["latency_p50_ms"] |= {"value": 1e-4, "low": 1e-4, "high": 1e-4}
        of["size_mib"]["value"] *= 2

    (sentence,) = compared(pair(worse)).sentences
    assert "Accuracy lower: -16.1 pt" in sentence
    assert "Size 100 % larger for onnx on cpu" in sentence
    assert "Latency" not in sentence


def test_a_gate_that_the_base_keeps_and_another_run_does_not_is_lost(pair):
    def fail(document):
        document["checks"][0]["gates"][0]["verdict"] = "inconclusive"

    assert compared(pair(fail)).lost == ["Accuracy lost of onnx on cpu: inconclusive in B"]


def test_a_gate_that_may_be_inconclusive_is_not_lost_by_being_so(pair):
    def fail(document):
        document["checks"][0]["inconclusive_allowed"] = True
        document["checks"][0]["gates"][0]["verdict"] = "inconclusive"

    assert compared(pair(fail)).lost == []


def test_what_another_check_allows_decides_nothing(pair):
    def fail(document):
        document["checks"][0]["inconclusive_allowed"] = True
        document["checks"][0]["gates"][0]["verdict"] = "inconclusive"
        document["checks"].append({**document["checks"][0], "stage": "strict"})
        document["checks"][1]["inconclusive_allowed"] = False

    def both(document):
        document["checks"].append({**document["checks"][0], "stage": "strict"})

    old, new = pair(both)[1], pair(fail)[1]
    found = compared([replace(old, letter="A"), new])
    assert found.lost == ["Accuracy lost of onnx on cpu: inconclusive in B"]


def test_a_third_run_on_other_examples_leaves_the_second_its_pairing(pair):
    def other(document):
        later(document)
        row(document)["quantities"]["accuracy"]["value"] -= 0.01
        stage(document, "check")["identity"]["files"] = {"0:other.npy": "1"}

    def more_training(document):
        later(document)
        stage(document, "check")["identity"].setdefault("task", {})["train_examples"] = 7

    old, new = pair(more_training)
    third = pair(other)[1]
    (line, *_) = (
        line
        for place in compared([old, new, third]).places
        for line in place.lines
        if line.measure == "accuracy"
    )
    assert ["perhaps on other" in one.words for one in line.differences] == [False, True]


def test_a_gate_that_is_kept_only_now_or_that_is_gone_is_not_lost(pair):
    def fail(document):
        document["checks"][0]["gates"][0]["verdict"] = "fail"

    def none(document):
        document["checks"][0]["gates"] = []

    old, new = pair(fail)
    assert compared([new, old]).lost == []
    assert compared(pair(none)).lost == []


def test_runs_with_nothing_in_common_are_said_to_have_nothing(pair):
    def elsewhere(document):
        check = document["checks"][0]
        for one in (*check["machines"], *check["rows"], *check["gates"], *check["trade_offs"]):
            one["name" if "facts" in one else "target"] = "phone"

    (sentence,) = compared(pair(elsewhere)).sentences
    assert sentence == "B against A: no program on a target that both measured."


def test_three_runs_are_each_compared_with_the_first(pair):
    old, new = pair(later)
    found = compared([old, new, new])
    assert [run.letter for run in found.runs] == ["A", "B", "C"]
    assert [one.run for one in found.changes] == ["B", "C"]
    assert {len(line.differences) for place in found.places for line in place.lines} == {2}


def test_the_sentence_is_about_candidates(pair):
    def worse(document):
        later(document)
        row(document, "student")["quantities"]["size_mib"]["value"] *= 2

    assert compared(pair(worse)).sentences == [
        "B against A: no difference shown in quality or size."
    ]
